-- id: SAL03
-- area: sale
-- severity: hard
-- title: the total of a sales order line is its subtotal plus its tax
-- versions: *
-- requires: sale_order_line.display_type sale_order_line.price_subtotal sale_order_line.price_tax
--   sale_order_line.price_total
-- reason: The three amounts are always written together. When they disagree, the row was altered
--   outside Odoo or damaged. Odoo: sale.order.line._compute_amount makes the three amounts
--   together.
SELECT id::text
FROM sale_order_line
WHERE display_type IS NULL AND abs(price_total - price_subtotal - price_tax) > 0.005
