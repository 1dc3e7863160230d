-- id: STK08
-- area: stock
-- severity: hard
-- title: there is one stock row for each product, location, lot, package and owner
-- versions: *
-- requires: stock_quant.location_id stock_quant.lot_id stock_quant.owner_id stock_quant.package_id
--   stock_quant.product_id
-- reason: Two rows for the same stock count it twice or split it. It happens when data was merged
--   or restored twice. Odoo: stock.quant._merge_quants joins what concurrent moves doubled.
SELECT product_id || '@' || location_id
FROM stock_quant
GROUP BY product_id, location_id, lot_id, package_id, owner_id
HAVING count(*) > 1
