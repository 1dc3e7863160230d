-- id: PUR01
-- area: purchase
-- severity: hard
-- title: the totals of a purchase order are the sums of its lines
-- versions: *
-- requires: account_tax_purchase_order_line_rel.account_tax_id
--   account_tax_purchase_order_line_rel.purchase_order_line_id
--   res_company.tax_calculation_rounding_method res_currency.rounding purchase_order.amount_tax
--   purchase_order.amount_total purchase_order.amount_untaxed purchase_order.company_id
--   purchase_order.currency_id purchase_order.name purchase_order_line.display_type
--   purchase_order_line.order_id purchase_order_line.price_subtotal purchase_order_line.price_total
-- reason: The agreed price of the order must be that of its lines. A difference means that a line
--   was lost or changed. Odoo: purchase.order._amount_all adds up the lines; with round_globally it
--   rounds once for the document, so the sum may be off by half a coin a line.
SELECT o.id || ' ' || o.name || ' ' || o.amount_untaxed || ' vs ' || coalesce(s.untaxed, 0)
FROM purchase_order o
JOIN res_company c ON c.id = o.company_id
JOIN res_currency u ON u.id = o.currency_id
LEFT JOIN (
    SELECT l.order_id,
           sum(l.price_subtotal) untaxed,
           sum(l.price_total) total,
           count(*) lines,
           bool_or(l.id IN (
               SELECT purchase_order_line_id FROM account_tax_purchase_order_line_rel
               WHERE account_tax_id IN (SELECT pg_temp.included_taxes())
           )) included
    FROM purchase_order_line l
    WHERE l.display_type IS NULL
    GROUP BY 1
) s ON s.order_id = o.id
WHERE abs(coalesce(s.untaxed, 0) - o.amount_untaxed) > pg_temp.rounding_slack(
          c.tax_calculation_rounding_method,
          s.included AND abs(s.total - o.amount_total) < u.rounding / 2,
          u.rounding,
          s.lines
      )
  OR abs(o.amount_total - o.amount_untaxed - o.amount_tax) > u.rounding / 20
