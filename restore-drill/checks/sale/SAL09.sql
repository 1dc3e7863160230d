-- id: SAL09
-- area: sale
-- severity: hard
-- title: a sales order with a total has at least one line
-- versions: *
-- requires: sale_order.amount_total sale_order.name sale_order_line.order_id
-- reason: A total without lines is an order whose lines were lost. Odoo:
--   sale.order._compute_amounts.
SELECT id || ' ' || name
FROM sale_order o
WHERE amount_total <> 0 AND NOT EXISTS (SELECT 1 FROM sale_order_line l WHERE l.order_id = o.id)
