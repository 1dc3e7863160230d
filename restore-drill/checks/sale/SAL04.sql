-- id: SAL04
-- area: sale
-- severity: base
-- title: the subtotal of a sales order line is quantity times price less discount
-- versions: *
-- requires: account_tax_sale_order_line_rel.account_tax_id
--   account_tax_sale_order_line_rel.sale_order_line_id sale_order_line.discount
--   sale_order_line.display_type sale_order_line.price_subtotal sale_order_line.price_unit
--   sale_order_line.product_uom_qty
-- reason: A difference means an altered line. Custom pricing can break the rule on purpose, so only
--   a difference to the source counts. Odoo: sale.order.line._compute_amount.
SELECT l.id || ' ' || l.price_subtotal
FROM sale_order_line l
WHERE display_type IS NULL
  AND NOT EXISTS (
      SELECT 1
      FROM account_tax_sale_order_line_rel r
      JOIN pg_temp.included_taxes() t ON t = r.account_tax_id
      WHERE r.sale_order_line_id = l.id
  )
  AND abs(price_subtotal - product_uom_qty * price_unit * (1 - coalesce(discount, 0) / 100.0)) > 0.011
