-- id: STK11
-- area: stock
-- severity: info
-- title: stock in virtual locations (customers, suppliers, losses) is the sum of all done stock moves
-- versions: >=17
-- requires: product_product.product_tmpl_id product_template stock_location.usage
--   stock_move_line.location_dest_id stock_move_line.location_id stock_move_line.product_id
--   stock_move_line.quantity_product_uom stock_move_line.state stock_quant.location_id
--   stock_quant.product_id stock_quant.quantity
-- reason: Odoo does not keep all virtual locations exact, so this is only reported. Odoo:
--   stock.quant._update_available_quantity.
WITH led AS (
         SELECT product_id p, location_dest_id l, quantity_product_uom q
         FROM stock_move_line
         WHERE state = 'done'
         UNION ALL
         SELECT product_id, location_id, -quantity_product_uom
         FROM stock_move_line
         WHERE state = 'done'
     ),
     s AS (SELECT p, l, sum(q) q FROM led GROUP BY 1, 2),
     k AS (SELECT product_id p, location_id l, sum(quantity) q FROM stock_quant GROUP BY 1, 2)
SELECT 'product ' || p || ' loc ' || l || ' quant=' || coalesce(k.q, 0) || ' moves=' || coalesce(s.q, 0)
FROM s
FULL JOIN k USING (p, l)
JOIN stock_location sl ON sl.id = l
JOIN pg_temp.storable_products() sp ON sp.product_id = p
WHERE sl.usage NOT IN ('internal', 'transit') AND abs(coalesce(k.q, 0) - coalesce(s.q, 0)) > 0.001
