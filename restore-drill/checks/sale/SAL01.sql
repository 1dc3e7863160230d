-- id: SAL01
-- area: sale
-- severity: hard
-- title: the totals of a sales order are the sums of its lines
-- versions: *
-- requires: sale_order.amount_tax sale_order.amount_total sale_order.amount_untaxed sale_order.name
--   sale_order_line.display_type sale_order_line.order_id sale_order_line.price_subtotal
-- reason: The confirmed price of the order must be that of its lines. A difference means that a
--   line was lost or changed.
SELECT o.id || ' ' || o.name || ' ' || o.amount_untaxed || ' vs ' || coalesce(s.u, 0)
FROM sale_order o
LEFT JOIN (
    SELECT order_id, sum(price_subtotal) u FROM sale_order_line WHERE display_type IS NULL GROUP BY 1
) s ON s.order_id = o.id
WHERE abs(coalesce(s.u, 0) - o.amount_untaxed) > 0.005
  OR abs(o.amount_total - o.amount_untaxed - o.amount_tax) > 0.005
