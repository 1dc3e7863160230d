-- id: STK01
-- area: stock
-- severity: hard
-- title: stock on hand is the sum of all done stock moves, by product, location, lot, package and owner
-- versions: >=17
-- requires: product_product.product_tmpl_id product_template stock_location.usage
--   stock_move_line.location_dest_id stock_move_line.location_id stock_move_line.lot_id
--   stock_move_line.owner_id stock_move_line.package_id stock_move_line.product_id
--   stock_move_line.quantity_product_uom stock_move_line.result_package_id stock_move_line.state
--   stock_quant.location_id stock_quant.lot_id stock_quant.owner_id stock_quant.package_id
--   stock_quant.product_id stock_quant.quantity
-- reason: The stock table is what the warehouse trusts, the moves are its journal. A difference
--   means that moves or stock rows were lost, and goods will be missing on the shelf. Odoo:
--   stock.move.line._action_done calls stock.quant._update_available_quantity for both places.
WITH led AS (
         SELECT product_id p,
                location_dest_id l,
                coalesce(lot_id, 0) lo,
                coalesce(result_package_id, 0) pk,
                coalesce(owner_id, 0) ow,
                quantity_product_uom q
         FROM stock_move_line
         WHERE state = 'done'
         UNION ALL
         SELECT product_id,
                location_id,
                coalesce(lot_id, 0),
                coalesce(package_id, 0),
                coalesce(owner_id, 0),
                -quantity_product_uom
         FROM stock_move_line
         WHERE state = 'done'
     ),
     s AS (SELECT p, l, lo, pk, ow, sum(q) q FROM led GROUP BY 1, 2, 3, 4, 5),
     k AS (
         SELECT product_id p,
                location_id l,
                coalesce(lot_id, 0) lo,
                coalesce(package_id, 0) pk,
                coalesce(owner_id, 0) ow,
                sum(quantity) q
         FROM stock_quant
         GROUP BY 1, 2, 3, 4, 5
     )
SELECT 'product ' || p || ' loc ' || l || ' lot ' || lo || ' quant=' || coalesce(k.q, 0)
           || ' moves=' || coalesce(s.q, 0)
FROM s
FULL JOIN k USING (p, l, lo, pk, ow)
JOIN stock_location sl ON sl.id = l
JOIN pg_temp.storable_products() sp ON sp.product_id = p
WHERE sl.usage IN ('internal', 'transit') AND abs(coalesce(k.q, 0) - coalesce(s.q, 0)) > 0.001
