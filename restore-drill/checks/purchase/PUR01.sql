-- id: PUR01
-- area: purchase
-- severity: hard
-- title: the totals of a purchase order are the sums of its lines
-- versions: *
-- requires: purchase_order.amount_tax purchase_order.amount_total purchase_order.amount_untaxed
--   purchase_order.name purchase_order_line.display_type purchase_order_line.order_id
--   purchase_order_line.price_subtotal
-- reason: The agreed price of the order must be that of its lines. A difference means that a line
--   was lost or changed.
SELECT o.id || ' ' || o.name
FROM purchase_order o
LEFT JOIN (
    SELECT order_id, sum(price_subtotal) u
    FROM purchase_order_line
    WHERE display_type IS NULL
    GROUP BY 1
) s ON s.order_id = o.id
WHERE abs(coalesce(s.u, 0) - o.amount_untaxed) > 0.005
  OR abs(o.amount_total - o.amount_untaxed - o.amount_tax) > 0.005
