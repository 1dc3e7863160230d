-- id: STK06
-- area: stock
-- severity: hard
-- title: a transfer is done exactly when its stock moves are done
-- versions: *
-- requires: stock_location.usage stock_move.location_dest_id stock_move.picking_id stock_move.state
--   stock_picking.name stock_picking.state
-- reason: A finished transfer with open moves, or the reverse, leaves goods half delivered in the
--   books. Transfer and moves are from different moments. Odoo: stock.picking._compute_state.
SELECT p.id || ' ' || p.name || ' ' || p.state
FROM stock_picking p
JOIN stock_move m ON m.picking_id = p.id
JOIN stock_location d ON d.id = m.location_dest_id
CROSS JOIN LATERAL (
    SELECT coalesce((to_jsonb(m)->>'scrapped')::bool, d.usage = 'inventory')
) s (is_scrap)
GROUP BY p.id
HAVING (p.state = 'done') <> (
    bool_and(m.state IN ('done', 'cancel'))
      AND bool_or(m.state = 'done')
      -- What was scrapped before a transfer was cancelled does not make it done.
      AND NOT (bool_and(is_scrap OR m.state <> 'done') AND bool_or(m.state = 'cancel' AND NOT is_scrap))
)
