-- id: SAL07
-- area: sale
-- severity: hard
-- title: the invoiced quantity of a sales order line is what its invoices and POS orders contain
-- versions: *
-- requires: account_move.move_type account_move.state account_move_line.move_id
--   account_move_line.product_uom_id account_move_line.quantity sale_order_line.display_type
--   sale_order_line.product_uom sale_order_line.qty_invoiced
--   sale_order_line_invoice_rel.invoice_line_id sale_order_line_invoice_rel.order_line_id
-- reason: A lost invoice line would be invoiced a second time, a lost order quantity never. Odoo:
--   sale.order.line._compute_qty_invoiced, which pos_sale extends.
SELECT l.id || ' ' || l.qty_invoiced || ' vs ' || (coalesce(i.q, 0) + coalesce(p.quantity, 0))
FROM sale_order_line l
LEFT JOIN (
    SELECT r.order_line_id,
           sum(CASE WHEN m.move_type = 'out_refund' THEN -a.quantity ELSE a.quantity END) q,
           bool_and(a.product_uom_id IS NOT DISTINCT FROM x.product_uom) same
    FROM sale_order_line_invoice_rel r
    JOIN account_move_line a ON a.id = r.invoice_line_id
    JOIN account_move m ON m.id = a.move_id
    JOIN sale_order_line x ON x.id = r.order_line_id
    WHERE m.state <> 'cancel'
    GROUP BY 1
) i ON i.order_line_id = l.id
LEFT JOIN pg_temp.pos_quantities() p ON p.sale_order_line_id = l.id
WHERE l.display_type IS NULL
  AND coalesce(i.same, TRUE)
  AND abs(l.qty_invoiced - coalesce(i.q, 0) - coalesce(p.quantity, 0)) > 0.005
