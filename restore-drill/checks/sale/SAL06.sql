-- id: SAL06
-- area: sale
-- severity: base
-- title: the delivered quantity of a sales order line is what its done stock moves delivered
-- versions: >=17
-- requires: sale_order_line.display_type sale_order_line.product_id sale_order_line.product_uom
--   sale_order_line.qty_delivered sale_order_line.qty_delivered_method stock_location.usage
--   stock_move.location_dest_id stock_move.location_id stock_move.product_id stock_move.product_uom
--   stock_move.quantity stock_move.sale_line_id stock_move.scrapped stock_move.state
--   stock_move.to_refund
-- reason: A delivery that the order does not know is not invoiced, one that the warehouse does not
--   know was never shipped. Data from before the stock link was installed differs, so only a
--   difference to the source counts. Odoo: sale.order.line._compute_qty_delivered of sale_stock.
SELECT l.id || ' ' || l.qty_delivered || ' vs ' || coalesce(s.q, 0)
FROM sale_order_line l
LEFT JOIN (
    SELECT m.sale_line_id,
           sum(
               CASE WHEN ld.usage = 'customer' THEN m.quantity
                    WHEN lo.usage = 'customer' AND m.to_refund THEN -m.quantity
                    ELSE 0
               END
           ) q
    FROM stock_move m
    JOIN stock_location ld ON ld.id = m.location_dest_id
    JOIN stock_location lo ON lo.id = m.location_id
    JOIN sale_order_line x ON x.id = m.sale_line_id
      AND x.product_uom = m.product_uom
      AND x.product_id = m.product_id
    WHERE m.state = 'done' AND NOT m.scrapped
    GROUP BY 1
) s ON s.sale_line_id = l.id
WHERE l.qty_delivered_method = 'stock_move'
  AND l.display_type IS NULL
  AND abs(l.qty_delivered - coalesce(s.q, 0)) > 0.005
  AND NOT EXISTS (
      SELECT 1
      FROM stock_move m
      JOIN sale_order_line x ON x.id = m.sale_line_id
      WHERE m.sale_line_id = l.id AND (m.product_uom <> x.product_uom OR m.product_id <> x.product_id)
  )
  -- What was handed over at a till counts as delivered, without a move of this order.
  AND NOT EXISTS (SELECT 1 FROM pg_temp.pos_quantities() p WHERE p.sale_order_line_id = l.id)
