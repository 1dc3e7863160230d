-- id: STK12
-- area: stock
-- severity: info
-- title: every done stock move belongs to a transfer
-- versions: *
-- requires: stock_move.picking_id stock_move.reference stock_move.state
-- reason: Inventory corrections, scrap and production have none rightfully, so this is only
--   reported. Odoo: stock.move.picking_id may be empty.
SELECT id || ' ' || coalesce(reference, '')
FROM stock_move
WHERE state = 'done' AND picking_id IS NULL
