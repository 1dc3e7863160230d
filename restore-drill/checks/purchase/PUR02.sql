-- id: PUR02
-- area: purchase
-- severity: base
-- title: the received quantity of a purchase order line is what its done stock moves received
-- versions: >=17
-- requires: purchase_order_line.display_type purchase_order_line.product_uom
--   purchase_order_line.qty_received purchase_order_line.qty_received_method stock_location.usage
--   stock_move.location_dest_id stock_move.location_id stock_move.product_uom
--   stock_move.purchase_line_id stock_move.quantity stock_move.scrapped stock_move.state
--   stock_move.to_refund
-- reason: Goods received but not on the order are paid for without proof, or the reverse. Data from
--   before the stock link was installed differs, so only a difference to the source counts. Odoo:
--   purchase.order.line._compute_qty_received of purchase_stock.
SELECT l.id || ' ' || l.qty_received || ' vs ' || coalesce(s.q, 0)
FROM purchase_order_line l
LEFT JOIN (
    SELECT m.purchase_line_id,
           sum(
               CASE WHEN lo.usage = 'supplier' THEN m.quantity
                    WHEN ld.usage = 'supplier' AND m.to_refund THEN -m.quantity
                    ELSE 0
               END
           ) q,
           bool_and(m.product_uom = x.product_uom) same
    FROM stock_move m
    JOIN purchase_order_line x ON x.id = m.purchase_line_id
    JOIN stock_location lo ON lo.id = m.location_id
    JOIN stock_location ld ON ld.id = m.location_dest_id
    WHERE m.state = 'done' AND NOT m.scrapped
    GROUP BY 1
) s ON s.purchase_line_id = l.id
WHERE l.qty_received_method = 'stock_moves'
  AND l.display_type IS NULL
  AND coalesce(s.same, TRUE)
  AND abs(coalesce(l.qty_received, 0) - coalesce(s.q, 0)) > 0.005
