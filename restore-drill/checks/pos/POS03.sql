-- id: POS03
-- area: pos
-- severity: hard
-- title: a paid POS order with a total has a payment and a line
-- versions: *
-- requires: pos_order.amount_total pos_order.name pos_order.state pos_order_line.order_id
--   pos_payment.pos_order_id
-- reason: A sale without lines or without a payment is one whose rows were lost. Odoo:
--   pos.order.action_pos_order_paid.
SELECT id || ' ' || name
FROM pos_order o
WHERE state IN ('paid', 'done', 'invoiced')
  AND amount_total <> 0
  AND (
      NOT EXISTS (SELECT 1 FROM pos_payment p WHERE p.pos_order_id = o.id)
        OR NOT EXISTS (SELECT 1 FROM pos_order_line l WHERE l.order_id = o.id)
  )
