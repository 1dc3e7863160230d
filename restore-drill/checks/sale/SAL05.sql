-- id: SAL05
-- area: sale
-- severity: hard
-- title: sales order lines agree with their order (state, company, customer)
-- versions: *
-- requires: sale_order.company_id sale_order.partner_id sale_order.state sale_order_line.company_id
--   sale_order_line.order_id sale_order_line.order_partner_id sale_order_line.state
-- reason: Odoo copies these fields from the order to its lines, and reports read the copies. A
--   difference means that line and order are from different moments. Odoo: sale.order.line.state,
--   company_id and order_partner_id are stored copies of the fields of sale.order.
SELECT l.id::text
FROM sale_order_line l
JOIN sale_order o ON o.id = l.order_id
WHERE l.state IS DISTINCT FROM o.state
  OR l.company_id IS DISTINCT FROM o.company_id
  OR l.order_partner_id IS DISTINCT FROM o.partner_id
