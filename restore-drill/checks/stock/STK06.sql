-- id: STK06
-- area: stock
-- severity: hard
-- title: a transfer is done exactly when its stock moves are done
-- versions: *
-- requires: stock_move.picking_id stock_move.state stock_picking.name stock_picking.state
-- reason: A finished transfer with open moves, or the reverse, leaves goods half delivered in the
--   books. Transfer and moves are from different moments. Odoo: stock.picking._compute_state.
SELECT p.id || ' ' || p.name || ' ' || p.state
FROM stock_picking p
JOIN stock_move m ON m.picking_id = p.id
GROUP BY p.id
HAVING (p.state = 'done') <> (bool_and(m.state IN ('done', 'cancel')) AND bool_or(m.state = 'done'))
