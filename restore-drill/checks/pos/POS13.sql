-- id: POS13
-- area: pos
-- severity: hard
-- title: no POS order is stored twice
-- versions: *
-- requires: pos_order.amount_total pos_order.date_order pos_order.pos_reference
--   pos_order.session_id pos_order_line.order_id pos_order_line.refunded_orderline_id
-- reason: A till gives each order an identifier and a receipt number. Two orders with the same
--   identifier, or of the same session, receipt, second and amount, book one sale twice. A refund
--   has the receipt number of its order. Odoo: pos.order.create_from_ui (up to 17) and
--   pos.order.sync_from_ui look for the order before they make it.
WITH sold AS (
         SELECT o.id, o.session_id, o.pos_reference, o.date_order, o.amount_total, to_jsonb(o) AS whole
         FROM pos_order o
         WHERE NOT EXISTS (
             SELECT 1 FROM pos_order_line l WHERE l.order_id = o.id AND l.refunded_orderline_id IS NOT NULL
         )
     )
SELECT 'identifier ' || v.identifier || ' orders ' || string_agg(id::text, ' ' ORDER BY id)
FROM sold
CROSS JOIN LATERAL (VALUES (whole->>'uuid'), (whole->>'access_token')) v (identifier)
WHERE v.identifier <> ''
GROUP BY v.identifier
HAVING count(*) > 1
UNION ALL
SELECT pos_reference || ' orders ' || string_agg(id::text, ' ' ORDER BY id)
FROM sold
WHERE pos_reference IS NOT NULL
GROUP BY session_id, pos_reference, date_order, amount_total
HAVING count(*) > 1
