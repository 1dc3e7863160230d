-- id: STK02
-- area: stock
-- severity: base
-- title: the reserved quantity of a stock row is what open moves reserve from it
-- versions: >=17
-- requires: product_product.product_tmpl_id product_template stock_location.usage
--   stock_move_line.location_id stock_move_line.lot_id stock_move_line.owner_id
--   stock_move_line.package_id stock_move_line.product_id stock_move_line.quantity_product_uom
--   stock_move_line.state stock_quant.location_id stock_quant.lot_id stock_quant.owner_id
--   stock_quant.package_id stock_quant.product_id stock_quant.reserved_quantity
-- reason: A stale reservation blocks deliveries or promises goods twice. Odoo itself has had such
--   drift, so only a difference to the source counts. Odoo: stock.quant._update_reserved_quantity
--   follows each reserved line.
WITH r AS (
         SELECT product_id p,
                location_id l,
                coalesce(lot_id, 0) lo,
                coalesce(package_id, 0) pk,
                coalesce(owner_id, 0) ow,
                sum(quantity_product_uom) q
         FROM stock_move_line
         WHERE state NOT IN ('done', 'cancel', 'draft')
         GROUP BY 1, 2, 3, 4, 5
     ),
     k AS (
         SELECT product_id p,
                location_id l,
                coalesce(lot_id, 0) lo,
                coalesce(package_id, 0) pk,
                coalesce(owner_id, 0) ow,
                sum(reserved_quantity) q
         FROM stock_quant
         GROUP BY 1, 2, 3, 4, 5
     )
SELECT 'product ' || p || ' loc ' || l || ' reserved=' || coalesce(k.q, 0) || ' lines='
           || coalesce(r.q, 0)
FROM r
FULL JOIN k USING (p, l, lo, pk, ow)
JOIN stock_location sl ON sl.id = l
JOIN pg_temp.storable_products() sp ON sp.product_id = p
WHERE sl.usage IN ('internal', 'transit') AND abs(coalesce(k.q, 0) - coalesce(r.q, 0)) > 0.001
