-- id: POS04
-- area: pos
-- severity: base
-- title: the total of a POS order is the sum of its lines
-- versions: *
-- requires: pos_order.amount_total pos_order.company_id pos_order.name pos_order_line.order_id
--   pos_order_line.price_subtotal_incl res_company.tax_calculation_rounding_method
-- reason: A difference means lost or altered lines. Some tills round the total, or the tax of the
--   whole order, so only a difference to the source counts. Odoo: pos.order._onchange_amount_all;
--   the till itself sends the total.
SELECT o.id || ' ' || o.name || ' ' || o.amount_total || ' vs ' || sum(l.price_subtotal_incl)
FROM pos_order o
JOIN res_company c ON c.id = o.company_id
JOIN pos_order_line l ON l.order_id = o.id
GROUP BY o.id, c.id
HAVING abs(sum(l.price_subtotal_incl) - o.amount_total)
  > pg_temp.rounding_slack(c.tax_calculation_rounding_method, FALSE, 0.01, count(*))
