-- id: POS12
-- area: pos
-- severity: info
-- title: every paid POS order has a transfer
-- versions: *
-- requires: pos_order.state stock_picking.pos_order_id
-- reason: Shops that update stock at closing, and service sales, have none rightfully, so this is
--   only reported. Odoo: pos.order._create_order_picking.
SELECT o.id::text
FROM pos_order o
WHERE state IN ('paid', 'done')
  AND NOT EXISTS (SELECT 1 FROM stock_picking p WHERE p.pos_order_id = o.id)
