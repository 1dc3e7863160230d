-- id: STK10
-- area: stock
-- severity: info
-- title: no more is reserved than is on hand
-- versions: *
-- requires: stock_location.usage stock_quant.location_id stock_quant.product_id
--   stock_quant.quantity stock_quant.reserved_quantity
-- reason: Negative stock and forced reservations violate this rightfully, so this is only reported.
--   Odoo: stock.quant._update_reserved_quantity.
SELECT q.product_id || '@' || q.location_id
FROM stock_quant q
JOIN stock_location l ON l.id = q.location_id
WHERE l.usage = 'internal' AND q.reserved_quantity > q.quantity
