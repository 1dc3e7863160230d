-- One minute of business in one transaction, as Odoo writes it: the numbers come from its sequences, every
-- row has who and when. Rows are copies of older ones under new numbers, so that any version's columns fit.
-- psql variables: minute, is_shop, sold, promised, paid, takings (decimals), fname, bytes.
create function pg_temp.copied(source regclass, of bigint, changed jsonb) returns bigint language plpgsql as $$
declare made bigint;
begin
  execute format(
    'insert into %1$s select (jsonb_populate_record(t, jsonb_build_object(''id'', nextval(pg_get_serial_sequence(%1$L, ''id'')),'
    ' ''create_uid'', 2, ''write_uid'', 2, ''create_date'', now() at time zone ''UTC'', ''write_date'', now() at time zone ''UTC'') || $1)).*'
    ' from %1$s t where t.id = $2 returning id', source) into strict made using changed, of;
  return made;
end $$;
create function pg_temp.number(of text, prefix text) returns text language plpgsql as $$
declare n bigint;
begin
  select nextval(format('ir_sequence_%s', lpad(id::text, 3, '0'))) into strict n from ir_sequence
    where code = of and implementation = 'standard' order by id limit 1;
  return prefix || lpad(n::text, 5, '0');
end $$;
select set_config('story.' || name, value, false) from (values
  ('sold', :'sold'), ('paid', :'paid'), ('takings', :'takings'),
  ('fname', :'fname'), ('bytes', :'bytes'), ('minute', :'minute')) given (name, value);
begin;
do $$
declare
  sold numeric := current_setting('story.sold');
  paid numeric := current_setting('story.paid');
  takings numeric := current_setting('story.takings');
  fname text := current_setting('story.fname');
  minute int := current_setting('story.minute');
  like_order bigint; like_line bigint; like_picking bigint; like_move bigint; like_move_line bigint;
  like_payment bigint; like_entry bigint; like_pos bigint; like_file bigint;
  ordered bigint; shipped bigint; moved bigint; entry bigint; received bigint; receipt bigint; number text;
begin
  -- A customer confirms an order: one line at its price, one of the promotion. The release sells that for 0.
  select o.id, l.id into strict like_order, like_line from sale_order o join sale_order_line l on l.order_id = o.id
    where o.state = 'sale' and l.display_type is null order by o.id, l.id limit 1;
  number := pg_temp.number('sale.order', 'S');
  ordered := pg_temp.copied('sale_order', like_order, jsonb_build_object('name', number, 'state', 'sale',
    'date_order', now() at time zone 'UTC', 'client_order_ref', 'story ' || minute, 'access_token', null,
    'amount_untaxed', sold, 'amount_tax', 0, 'amount_total', sold));
  perform pg_temp.copied('sale_order_line', like_line, jsonb_build_object('order_id', ordered, 'state', 'sale',
    'product_uom_qty', 1, 'price_unit', price, 'price_subtotal', price, 'price_total', price, 'price_tax', 0,
    'discount', 0)) from unnest(array[sold, 0]) price;

  -- Its delivery waits in the warehouse.
  select p.id, m.id, ml.id into strict like_picking, like_move, like_move_line
    from stock_picking p join stock_move m on m.picking_id = p.id join stock_move_line ml on ml.move_id = m.id
    where p.sale_id is not null order by p.id, m.id limit 1;
  shipped := pg_temp.copied('stock_picking', like_picking, jsonb_build_object('name', 'WH/OUT/STORY/' || minute,
    'origin', number, 'sale_id', ordered, 'backorder_id', null, 'state', 'assigned', 'date_done', null));
  for i in 1..2 loop
    moved := pg_temp.copied('stock_move', like_move, jsonb_build_object('picking_id', shipped, 'state', 'assigned',
      'origin', number, 'reference', 'WH/OUT/STORY/' || minute, 'date', now() at time zone 'UTC', 'picked', false));
    perform pg_temp.copied('stock_move_line', like_move_line, jsonb_build_object('picking_id', shipped,
      'move_id', moved, 'state', 'assigned', 'reference', 'WH/OUT/STORY/' || minute, 'picked', false));
  end loop;

  -- Another one pays: Odoo makes the journal entry, then the payment, then links them.
  select p.id, p.move_id into strict like_payment, like_entry from account_payment p
    where p.payment_type = 'inbound' and exists (select 1 from account_move_line l where l.move_id = p.move_id)
    order by p.id limit 1;
  entry := pg_temp.copied('account_move', like_entry, jsonb_build_object('name', 'STORY/' || lpad(minute::text, 5, '0'),
    'sequence_number', 900000 + minute, 'state', 'posted', 'payment_id', null, 'amount_total', paid));
  perform pg_temp.copied('account_move_line', l.id, jsonb_build_object('move_id', entry, 'full_reconcile_id', null,
    'matching_number', null, 'payment_id', null, 'debit', case when l.debit > 0 then paid else 0 end,
    'credit', case when l.credit > 0 then paid else 0 end, 'balance', sign(l.balance) * paid,
    'amount_currency', sign(l.amount_currency) * paid)) from account_move_line l where l.move_id = like_entry;
  received := pg_temp.copied('account_payment', like_payment,
    jsonb_build_object('move_id', entry, 'amount', paid, 'payment_reference', 'story ' || minute));
  update account_move set payment_id = received where id = entry;
  update account_move_line set payment_id = received where move_id = entry;

  -- The shop sells in cash: two lines, one payment.
  if takings > 0 then
    select o.id into strict like_pos from pos_order o where exists (select 1 from pos_payment p where p.pos_order_id = o.id)
      and o.amount_total > 0 order by o.id limit 1;
    receipt := pg_temp.copied('pos_order', like_pos, jsonb_build_object('name', 'Shop/STORY/' || minute, 'state', 'paid',
      'pos_reference', 'Order story-' || minute, 'account_move', null, 'access_token', null,
      'date_order', now() at time zone 'UTC', 'amount_tax', 0, 'amount_total', takings, 'amount_paid', takings,
      'amount_return', 0));
    for i in 1..2 loop
      perform pg_temp.copied('pos_order_line', min(id), jsonb_build_object('order_id', receipt, 'uuid', null, 'qty', 1,
        'price_unit', price, 'price_subtotal', price, 'price_subtotal_incl', price))
        from pos_order_line, lateral (select case i when 1 then takings - 0.01 else 0.01 end price) p
        where order_id = like_pos group by price;
    end loop;
    perform pg_temp.copied('pos_payment', min(id), jsonb_build_object('pos_order_id', receipt, 'amount', takings,
      'is_change', false, 'payment_date', now() at time zone 'UTC')) from pos_payment where pos_order_id = like_pos;
  end if;

  -- The signed order is attached; Odoo has written its file before this row.
  select id into strict like_file from ir_attachment where store_fname is not null order by id limit 1;
  perform pg_temp.copied('ir_attachment', like_file, jsonb_build_object('name', 'signed ' || minute || '.pdf',
    'res_model', 'sale.order', 'res_id', ordered, 'res_field', null, 'access_token', null, 'type', 'binary', 'url', null,
    'store_fname', fname, 'checksum', substr(fname, 4), 'file_size', current_setting('story.bytes')::int,
    'mimetype', 'application/pdf', 'index_content', null));
end $$;
commit;
