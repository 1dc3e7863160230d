-- id: STK03
-- area: stock
-- severity: hard
-- title: the quantity of a done stock move is the sum of its detailed lines
-- versions: >=17
-- requires: stock_move.product_uom stock_move.quantity stock_move.state stock_move_line.move_id
--   stock_move_line.product_uom_id stock_move_line.quantity
-- reason: The lines say which lot went where. When they do not add up to the move, lines were lost
--   and traceability with them. Odoo: stock.move._compute_quantity.
SELECT m.id || ' ' || m.quantity || ' vs ' || sum(l.quantity)
FROM stock_move m
JOIN stock_move_line l ON l.move_id = m.id
WHERE m.state = 'done'
GROUP BY m.id
HAVING bool_and(l.product_uom_id = m.product_uom) AND abs(sum(l.quantity) - m.quantity) > 0.001
