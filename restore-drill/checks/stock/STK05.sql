-- id: STK05
-- area: stock
-- severity: hard
-- title: detailed lines agree with their stock move (state, product)
-- versions: *
-- requires: stock_move.product_id stock_move.state stock_move_line.move_id
--   stock_move_line.product_id stock_move_line.state
-- reason: Odoo copies the state to the lines, and stock is computed from it. A difference means
--   that line and move are from different moments. Odoo: stock.move.line.state is a stored copy of
--   stock.move.state.
SELECT l.id::text
FROM stock_move_line l
JOIN stock_move m ON m.id = l.move_id
WHERE l.state IS DISTINCT FROM m.state OR l.product_id <> m.product_id
