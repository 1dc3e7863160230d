-- id: POS04
-- area: pos
-- severity: base
-- title: the total of a POS order is the sum of its lines
-- versions: *
-- requires: pos_order.amount_total pos_order.name pos_order_line.order_id
--   pos_order_line.price_subtotal_incl
-- reason: A difference beyond rounding means lost or altered lines. Tax rounding can differ by
--   cents a line, so only a difference to the source counts.
SELECT o.id || ' ' || o.name || ' ' || o.amount_total || ' vs ' || sum(l.price_subtotal_incl)
FROM pos_order o
JOIN pos_order_line l ON l.order_id = o.id
GROUP BY o.id
HAVING abs(sum(l.price_subtotal_incl) - o.amount_total) > 0.0051 * count(*)
