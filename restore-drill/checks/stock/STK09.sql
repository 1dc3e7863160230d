-- id: STK09
-- area: stock
-- severity: info
-- title: stock in internal locations is not negative
-- versions: *
-- requires: stock_location.usage stock_quant.location_id stock_quant.product_id
--   stock_quant.quantity
-- reason: Odoo allows goods to be delivered before they were received, so this is only reported.
--   Odoo: stock.quant._update_available_quantity allows it.
SELECT q.product_id || '@' || q.location_id || ' ' || q.quantity
FROM stock_quant q
JOIN stock_location l ON l.id = q.location_id
WHERE l.usage = 'internal' AND q.quantity < 0
