-- id: SAL11
-- area: sale
-- severity: info
-- title: the total of an invoiced sales order is the sum of its posted invoices
-- versions: *
-- requires: account_move.amount_total account_move.state account_move_line.move_id
--   sale_order.amount_total sale_order.invoice_status sale_order.name sale_order_line.order_id
--   sale_order_line_invoice_rel.invoice_line_id sale_order_line_invoice_rel.order_line_id
-- reason: Down payments, credit notes and invoices for several orders violate this rightfully, so
--   this is only reported. Odoo: sale.order.line._compute_invoice_status looks at quantities, not
--   at amounts.
SELECT o.name
FROM sale_order o
JOIN (
    SELECT l.order_id, sum(DISTINCT m.amount_total) t
    FROM sale_order_line l
    JOIN sale_order_line_invoice_rel r ON r.order_line_id = l.id
    JOIN account_move_line a ON a.id = r.invoice_line_id
    JOIN account_move m ON m.id = a.move_id AND m.state = 'posted'
    GROUP BY 1
) s ON s.order_id = o.id
WHERE o.invoice_status = 'invoiced' AND abs(s.t - o.amount_total) > 0.005
