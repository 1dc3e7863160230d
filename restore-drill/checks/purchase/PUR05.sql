-- id: PUR05
-- area: purchase
-- severity: hard
-- title: the tax of a purchase order is the sum of the tax of its lines
-- versions: *
-- requires: account_tax_purchase_order_line_rel.account_tax_id
--   account_tax_purchase_order_line_rel.purchase_order_line_id
--   res_company.tax_calculation_rounding_method res_currency.rounding purchase_order.amount_tax
--   purchase_order.amount_total purchase_order.company_id purchase_order.currency_id
--   purchase_order.name purchase_order_line.display_type purchase_order_line.order_id
--   purchase_order_line.price_tax purchase_order_line.price_total
-- reason: A difference means lost or altered lines. Odoo: purchase.order._amount_all adds up the
--   tax of the lines; with round_globally it rounds each tax once for the document.
SELECT o.id || ' ' || o.name || ' ' || o.amount_tax || ' vs ' || s.tax
FROM purchase_order o
JOIN res_company c ON c.id = o.company_id
JOIN res_currency u ON u.id = o.currency_id
JOIN (
    SELECT order_id, sum(price_tax)::numeric tax, sum(price_total) total, count(*) lines
    FROM purchase_order_line
    WHERE display_type IS NULL
    GROUP BY 1
) s ON s.order_id = o.id
LEFT JOIN (
    SELECT l.order_id,
           count(DISTINCT r.account_tax_id) taxes,
           bool_or(r.account_tax_id IN (SELECT pg_temp.included_taxes())) included
    FROM purchase_order_line l
    JOIN account_tax_purchase_order_line_rel r ON r.purchase_order_line_id = l.id
    GROUP BY 1
) x ON x.order_id = o.id
WHERE abs(s.tax - o.amount_tax) > pg_temp.rounding_slack(
          c.tax_calculation_rounding_method,
          x.included AND abs(s.total - o.amount_total) < u.rounding / 2,
          u.rounding,
          2 * s.lines + coalesce(x.taxes, 0)
      )
