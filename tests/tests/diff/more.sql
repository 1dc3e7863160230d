-- What the made-up tenant lacks of Odoo, and what real ones have no rows of; each guarded, so that it can be
-- run on both. Names and columns are those of Odoo 17.
set client_min_messages = error;
create table if not exists product_pricelist (id serial primary key, currency_id int not null, name jsonb not null, active bool,
  discount_policy varchar not null, create_uid int, create_date timestamp, write_uid int, write_date timestamp);
create table if not exists product_pricelist_item (id serial primary key, pricelist_id int not null, product_tmpl_id int,
  applied_on varchar not null, base varchar not null, compute_price varchar not null, min_quantity numeric, fixed_price numeric,
  price_discount numeric, price_surcharge numeric, percent_price float, date_start timestamp, date_end timestamp, write_date timestamp);
create table if not exists product_supplierinfo (id serial primary key, partner_id int not null, currency_id int not null,
  product_tmpl_id int, product_code varchar, delay int not null, min_qty numeric not null, price numeric not null, write_date timestamp);
create table if not exists res_currency_rate (id serial primary key, currency_id int not null, company_id int, name date not null,
  rate numeric, constraint res_currency_rate_unique_name_per_day unique (name, currency_id, company_id));
create table if not exists ir_property (id serial primary key, company_id int, fields_id int not null, name varchar, res_id varchar,
  type varchar not null, value_float float, value_reference varchar, value_integer int);
create table if not exists ir_rule (id serial primary key, model_id int not null, name varchar, domain_force text, active bool,
  perm_read bool, perm_write bool, perm_create bool, perm_unlink bool, "global" bool);
create table if not exists rule_group_rel (rule_group_id int not null, group_id int not null, primary key (rule_group_id, group_id));
create table if not exists ir_model_access (id serial primary key, model_id int not null, group_id int, name varchar not null, active bool,
  perm_read bool, perm_write bool, perm_create bool, perm_unlink bool);
create table if not exists res_partner_bank (id serial primary key, partner_id int not null, bank_id int, acc_number varchar not null, active bool);
create table if not exists account_tax_repartition_line (id serial primary key, account_id int, tax_id int, repartition_type varchar not null,
  document_type varchar not null, factor_percent float not null);
create table if not exists product_taxes_rel (prod_id int not null, tax_id int not null, primary key (prod_id, tax_id));
create table if not exists decimal_precision (id serial primary key, digits int not null, name varchar not null);
create table if not exists account_payment_term (id serial primary key, name jsonb not null, active bool);
create table if not exists account_payment_term_line (id serial primary key, payment_id int not null, value varchar not null,
  value_amount numeric, nb_days int);
create table if not exists ir_model_constraint (id serial primary key, model int not null, module int not null, name varchar, type varchar(1));
create table if not exists auditlog_log (id serial primary key, name varchar, res_id int, create_date timestamp);
insert into auditlog_log (name, res_id, create_date) select 'x', n, '2026-11-12 10:00' from generate_series(1, 40) n;
insert into mail_message (res_id, author_id, subject, model, message_type, email_from, message_id, body, date)
  select res_id, author_id, subject, model, message_type, email_from, message_id || '.' || n, body, date
    from mail_message, generate_series(1, 50) n where mail_message.id = (select min(id) from mail_message);
create table if not exists bus_bus (id serial primary key, channel varchar, message varchar);

do $$ begin
if not exists (select from product_pricelist) then
  insert into product_pricelist (currency_id, name, active, discount_policy)
    select min(id), '{"en_US": "Retail"}', true, 'with_discount' from res_currency;
end if;
insert into product_pricelist_item (pricelist_id, product_tmpl_id, applied_on, base, compute_price, min_quantity, fixed_price,
    price_discount, price_surcharge, percent_price)
  select (select min(id) from product_pricelist), id, '1_product', 'list_price', 'fixed', 1, 5 + id, 0, 0, 0
    from product_template order by id limit 41;
if not exists (select from product_supplierinfo) then
  insert into product_supplierinfo (partner_id, currency_id, product_tmpl_id, delay, min_qty, price)
    select (select min(id) from res_partner), (select min(id) from res_currency), id, 1, 0, 3 + id from product_template;
end if;
insert into res_currency_rate (currency_id, company_id, name, rate)
  select c.id, (select min(id) from res_company), '2026-11-01'::date - n, 1.1 + n * 0.001
    from (select id from res_currency order by id limit 2) c, generate_series(0, 9) n;
if not exists (select from ir_property where name = 'standard_price') then
  insert into ir_property (company_id, fields_id, name, res_id, type, value_float)
    select 1, 1, 'standard_price', 'product.product,' || id, 'float', 2 + id from product_product;
end if;
if not exists (select from ir_rule) then
  insert into ir_rule (model_id, name, domain_force, active, perm_read, perm_write, perm_create, perm_unlink, "global")
    select 1, 'rule ' || n, '[(1, ''='', 1)]', true, true, true, true, true, n % 2 = 0 from generate_series(1, 12) n;
  insert into ir_model_data (res_id, name, module, model) select id, 'rule_' || id, 'sale', 'ir.rule' from ir_rule;
  insert into rule_group_rel select r.id, g.id from ir_rule r, (select id from res_groups order by id limit 1) g;
end if;
if not exists (select from ir_model_access) then
  insert into ir_model_access (model_id, group_id, name, active, perm_read, perm_write, perm_create, perm_unlink)
    select 1, (select min(id) from res_groups), 'access ' || n, true, true, true, true, n % 2 = 0 from generate_series(1, 20) n;
  insert into ir_model_data (res_id, name, module, model) select id, 'access_' || id, 'sale', 'ir.model.access' from ir_model_access;
end if;
-- users of the made-up tenant, and rights of theirs
insert into res_users (company_id, partner_id, login, password, notification_type)
  select (select min(id) from res_company), (select min(id) from res_partner), 'seller' || n, '$pbkdf2-sha512$made$up' || n, 'email'
    from generate_series(1, 4) n;
insert into res_groups_users_rel (gid, uid)
  select g.id, u.id from (select id from res_groups order by id limit 3) g, res_users u on conflict do nothing;
insert into res_partner_bank (partner_id, acc_number, active)
  select (select partner_id from res_company order by id limit 1), 'DE0210010010000682080' || n, true from generate_series(1, 2) n;
if not exists (select from account_tax_repartition_line where account_id is not null) then
  insert into account_tax_repartition_line (account_id, tax_id, repartition_type, document_type, factor_percent)
    select (select min(id) from account_account), t.id, 'tax', 'invoice', 100 from account_tax t;
end if;
update account_tax_repartition_line set account_id = (select min(id) from account_account);
insert into product_taxes_rel select p.id, (select min(id) from account_tax) from product_template p on conflict do nothing;
if not exists (select from decimal_precision) then
  insert into decimal_precision (digits, name) values (2, 'Product Price'), (3, 'Stock Weight');
end if;
if not exists (select from account_payment_term_line where value_amount <> 0) then
  insert into account_payment_term (name, active) values ('{"en_US": "30 days"}', true);
  insert into account_payment_term_line (payment_id, value, value_amount, nb_days) select id, 'percent', 50, 30 from account_payment_term, generate_series(1, 2);
end if;
insert into ir_ui_view (priority, name, key, type, mode, arch_db, active)
  select 16, 'a layout of tests', 'tests.layout', 'qweb', 'primary',
    jsonb_build_object('en_US', '<t t-name="tests.layout">' || repeat('<div class="o_page"/>', 60) || '</t>'), true;
insert into ir_model_data (res_id, name, module, model)
  select id, 'tests_layout', 'sale', 'ir.ui.view' from ir_ui_view where key = 'tests.layout';
insert into ir_ui_view (priority, name, key, type, mode, arch_db, active)
  values (16, 'a page', 'website.page_of_ours', 'qweb', 'primary', '{"en_US": "<t>hello</t>"}', true);
insert into bus_bus (channel, message) select 'x', 'y' from generate_series(1, 30);
insert into ir_config_parameter (key, value) values ('tests.parameter', 'https://shop.example') on conflict do nothing;
if not exists (select from pg_constraint where conname = 'sale_order_partner_id_fkey') then
  alter table sale_order add constraint sale_order_partner_id_fkey foreign key (partner_id) references res_partner on delete restrict;
end if;
-- the made-up tenant says of all models that module base made them
update ir_model_data set module = 'sale' where name = 'model_sale_order' and module = 'base';
end $$;
create index if not exists sale_order_of_tests on sale_order (partner_id, state);
create unique index if not exists sale_order_name_of_tests on sale_order (name, company_id);
-- orders of one day, which no other row refers to
insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', nextval('sale_order_id_seq'), 'name', 'T' || n,
    'state', 'sale', 'create_date', '2026-11-12 10:00', 'write_date', '2026-11-12 10:00'))).*
  from sale_order o, generate_series(1, 14) n where o.id = (select min(id) from sale_order);
