-- id: SAL02
-- area: sale
-- severity: hard
-- title: the tax of a sales order is the sum of the tax of its lines
-- versions: *
-- requires: account_tax_sale_order_line_rel.account_tax_id
--   account_tax_sale_order_line_rel.sale_order_line_id res_company.tax_calculation_rounding_method
--   res_currency.rounding sale_order.amount_tax sale_order.amount_total sale_order.company_id
--   sale_order.currency_id sale_order.name sale_order.payment_term_id sale_order_line.display_type
--   sale_order_line.order_id sale_order_line.price_tax sale_order_line.price_total
-- reason: A difference means lost or altered lines. Odoo: sale.order._compute_amounts adds up the
--   tax of the lines; with round_globally it rounds each tax once for the document, and a mixed
--   early-payment discount lowers the tax there.
SELECT o.id || ' ' || o.name || ' ' || o.amount_tax || ' vs ' || s.tax
FROM sale_order o
JOIN res_company c ON c.id = o.company_id
JOIN res_currency u ON u.id = o.currency_id
JOIN (
    SELECT order_id, sum(price_tax)::numeric tax, sum(price_total) total, count(*) lines
    FROM sale_order_line
    WHERE display_type IS NULL
    GROUP BY 1
) s ON s.order_id = o.id
LEFT JOIN (
    SELECT l.order_id,
           count(DISTINCT r.account_tax_id) taxes,
           bool_or(r.account_tax_id IN (SELECT pg_temp.included_taxes())) included
    FROM sale_order_line l
    JOIN account_tax_sale_order_line_rel r ON r.sale_order_line_id = l.id
    GROUP BY 1
) x ON x.order_id = o.id
WHERE abs(s.tax - o.amount_tax) > pg_temp.rounding_slack(
          c.tax_calculation_rounding_method,
          x.included AND abs(s.total - o.amount_total) < u.rounding / 2,
          u.rounding,
          2 * s.lines + coalesce(x.taxes, 0)
      )
  AND (o.payment_term_id IS NULL OR o.payment_term_id NOT IN (SELECT pg_temp.mixed_discount_terms()))
