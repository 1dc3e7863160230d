-- id: PUR03
-- area: purchase
-- severity: hard
-- title: the billed quantity of a purchase order line is what its vendor bills contain
-- versions: >=16
-- requires: account_move.move_type account_move.state account_move_line.display_type
--   account_move_line.move_id account_move_line.product_uom_id account_move_line.purchase_line_id
--   account_move_line.quantity purchase_order_line.display_type purchase_order_line.product_uom
--   purchase_order_line.qty_invoiced
-- reason: A lost bill line would be billed a second time, a lost order quantity would never be
--   noticed. Odoo: purchase.order.line._compute_qty_invoiced.
SELECT l.id || ' ' || l.qty_invoiced || ' vs ' || coalesce(s.q, 0)
FROM purchase_order_line l
LEFT JOIN (
    SELECT a.purchase_line_id,
           sum(
               CASE WHEN m.move_type = 'in_refund' THEN -a.quantity
                    WHEN m.move_type = 'in_invoice' THEN a.quantity
                    ELSE 0
               END
           ) q,
           bool_and(a.product_uom_id IS NOT DISTINCT FROM x.product_uom) same
    FROM account_move_line a
    JOIN purchase_order_line x ON x.id = a.purchase_line_id
    JOIN account_move m ON m.id = a.move_id
    WHERE m.state <> 'cancel' AND a.display_type = 'product'
    GROUP BY 1
) s ON s.purchase_line_id = l.id
WHERE l.display_type IS NULL
  AND coalesce(s.same, TRUE)
  AND abs(coalesce(l.qty_invoiced, 0) - coalesce(s.q, 0)) > 0.005
