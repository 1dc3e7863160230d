-- id: SAL02
-- area: sale
-- severity: base
-- title: the tax of a sales order is the sum of the tax of its lines
-- versions: *
-- requires: sale_order.amount_tax sale_order.name sale_order_line.display_type
--   sale_order_line.order_id sale_order_line.price_tax
-- reason: A difference beyond rounding means lost or altered lines. Companies that round tax on the
--   whole order may differ by cents, so only a difference to the source counts.
SELECT o.id || ' ' || o.name
FROM sale_order o
JOIN sale_order_line l ON l.order_id = o.id AND l.display_type IS NULL
GROUP BY o.id
HAVING abs(sum(l.price_tax) - o.amount_tax) > 0.005 * count(*)
