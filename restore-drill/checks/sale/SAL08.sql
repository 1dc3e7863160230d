-- id: SAL08
-- area: sale
-- severity: base
-- title: confirmed sales order lines of storable products have a stock move
-- versions: *
-- requires: product_product.product_tmpl_id product_template sale_order.name sale_order.state
--   sale_order_line.order_id sale_order_line.product_id sale_order_line.product_uom_qty
--   stock_move.sale_line_id
-- reason: Without a move nothing is ever delivered. Orders confirmed before the stock link was
--   installed have none, so only a difference to the source counts. Odoo:
--   sale.order.line._action_launch_stock_rule.
SELECT l.id || ' ' || o.name
FROM sale_order_line l
JOIN sale_order o ON o.id = l.order_id
JOIN pg_temp.storable_products() sp ON sp.product_id = l.product_id
WHERE o.state = 'sale'
  AND l.product_uom_qty > 0
  AND NOT EXISTS (SELECT 1 FROM stock_move m WHERE m.sale_line_id = l.id)
  -- Kits have moves of their parts only, so the rule says nothing where manufacturing is installed.
  AND to_regclass('public.mrp_bom') IS NULL
