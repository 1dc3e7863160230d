-- id: POS08
-- area: pos
-- severity: hard
-- title: POS payments belong to the session of their order
-- versions: *
-- requires: pos_order.session_id pos_payment.pos_order_id pos_payment.session_id
-- reason: A payment in another session makes two cash counts wrong. The rows are from different
--   moments. Odoo: pos.payment.session_id is a stored copy of pos.order.session_id.
SELECT p.id::text
FROM pos_payment p
JOIN pos_order o ON o.id = p.pos_order_id
WHERE p.session_id IS DISTINCT FROM o.session_id
