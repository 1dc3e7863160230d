-- id: STK04
-- area: stock
-- severity: hard
-- title: every done stock move has detailed lines
-- versions: *
-- requires: stock_move.product_uom_qty stock_move.state stock_move_line.move_id
-- reason: Goods moved without a trace of lot, place or package. The lines were lost. Odoo:
--   stock.move._action_done.
SELECT m.id::text
FROM stock_move m
WHERE m.state = 'done'
  AND m.product_uom_qty > 0
  AND coalesce((to_jsonb(m)->>'quantity')::numeric, 1) > 0
  AND NOT EXISTS (SELECT 1 FROM stock_move_line l WHERE l.move_id = m.id)
