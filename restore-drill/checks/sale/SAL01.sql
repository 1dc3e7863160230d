-- id: SAL01
-- area: sale
-- severity: hard
-- title: the totals of a sales order are the sums of its lines
-- versions: *
-- requires: account_tax_sale_order_line_rel.account_tax_id
--   account_tax_sale_order_line_rel.sale_order_line_id res_company.tax_calculation_rounding_method
--   res_currency.rounding sale_order.amount_tax sale_order.amount_total sale_order.amount_untaxed
--   sale_order.company_id sale_order.currency_id sale_order.name sale_order.payment_term_id
--   sale_order_line.display_type sale_order_line.order_id sale_order_line.price_subtotal
--   sale_order_line.price_total
-- reason: The confirmed price of the order must be that of its lines. A difference means that a
--   line was lost or changed. Odoo: sale.order._compute_amounts adds up the lines; with
--   round_globally it rounds once for the document, so the sum may be off by half a coin a line; a
--   mixed early-payment discount moves a part of the tax into it.
SELECT o.id || ' ' || o.name || ' ' || o.amount_untaxed || ' vs ' || coalesce(s.untaxed, 0)
FROM sale_order o
JOIN res_company c ON c.id = o.company_id
JOIN res_currency u ON u.id = o.currency_id
LEFT JOIN (
    SELECT l.order_id,
           sum(l.price_subtotal) untaxed,
           sum(l.price_total) total,
           count(*) lines,
           bool_or(l.id IN (
               SELECT sale_order_line_id FROM account_tax_sale_order_line_rel
               WHERE account_tax_id IN (SELECT pg_temp.included_taxes())
           )) included
    FROM sale_order_line l
    WHERE l.display_type IS NULL
    GROUP BY 1
) s ON s.order_id = o.id
WHERE (
    abs(coalesce(s.untaxed, 0) - o.amount_untaxed) > pg_temp.rounding_slack(
            c.tax_calculation_rounding_method,
            s.included AND abs(s.total - o.amount_total) < u.rounding / 2,
            u.rounding,
            s.lines
        )
      AND (o.payment_term_id IS NULL OR o.payment_term_id NOT IN (SELECT pg_temp.mixed_discount_terms()))
)
  OR abs(o.amount_total - o.amount_untaxed - o.amount_tax) > u.rounding / 20
