-- id: POS01
-- area: pos
-- severity: hard
-- title: the payments of a paid POS order sum to what it says was paid
-- versions: *
-- requires: pos_order.amount_paid pos_order.name pos_order.state pos_payment.amount
--   pos_payment.pos_order_id
-- reason: The drawer holds what the payments say. A difference means that a payment was lost or
--   changed. Odoo: pos.order.add_payment adds up amount_paid.
SELECT o.id || ' ' || o.name || ' paid=' || o.amount_paid || ' payments=' || coalesce(s.q, 0)
FROM pos_order o
LEFT JOIN (SELECT pos_order_id, sum(amount) q FROM pos_payment GROUP BY 1) s ON s.pos_order_id = o.id
WHERE o.state IN ('paid', 'done', 'invoiced') AND abs(coalesce(s.q, 0) - o.amount_paid) > 0.005
