-- id: PUR04
-- area: purchase
-- severity: base
-- title: confirmed purchase order lines of storable products have a stock move
-- versions: *
-- requires: product_product.product_tmpl_id product_template purchase_order.name
--   purchase_order.state purchase_order_line.order_id purchase_order_line.product_id
--   purchase_order_line.product_qty stock_move.purchase_line_id
-- reason: Without a move nothing is ever received. Orders confirmed before the stock link was
--   installed have none, so only a difference to the source counts. Odoo:
--   purchase.order._create_picking.
SELECT l.id || ' ' || o.name
FROM purchase_order_line l
JOIN purchase_order o ON o.id = l.order_id
JOIN pg_temp.storable_products() sp ON sp.product_id = l.product_id
WHERE o.state IN ('purchase', 'done')
  AND l.product_qty > 0
  AND NOT EXISTS (SELECT 1 FROM stock_move m WHERE m.purchase_line_id = l.id)
