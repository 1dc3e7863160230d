-- id: ACC07
-- area: account
-- severity: hard
-- title: untaxed amount and tax of an invoice are the sums of its journal items
-- versions: >=16
-- requires: account_move.amount_tax account_move.amount_untaxed account_move.move_type
--   account_move.name account_move_line.amount_currency account_move_line.display_type
--   account_move_line.move_id account_move_line.tax_repartition_line_id
-- reason: An item that got lost leaves the header as it was, so header and items stop agreeing.
--   Odoo: account.move._compute_amount adds up exactly these items, however taxes and cash are
--   rounded.
SELECT m.id || ' ' || m.name || ' untaxed ' || m.amount_untaxed || ' vs ' || coalesce(s.untaxed, 0)
           || ' tax ' || m.amount_tax || ' vs ' || coalesce(s.tax, 0)
FROM account_move m
LEFT JOIN (
    SELECT l.move_id,
           sum(l.amount_currency) FILTER (WHERE NOT is_tax) untaxed,
           sum(l.amount_currency) FILTER (WHERE is_tax) tax
    FROM account_move_line l
    CROSS JOIN LATERAL (
        SELECT l.display_type IN ('tax', 'non_deductible_tax')
            OR (l.display_type = 'rounding' AND l.tax_repartition_line_id IS NOT NULL)
    ) t (is_tax)
    WHERE l.display_type IN (
        'product', 'rounding', 'tax', 'non_deductible_product', 'non_deductible_product_total', 'non_deductible_tax'
    )
    GROUP BY 1
) s ON s.move_id = m.id
WHERE m.move_type <> 'entry'
  AND (
      abs(abs(coalesce(s.untaxed, 0)) - abs(m.amount_untaxed)) > 0.0005
        OR abs(abs(coalesce(s.tax, 0)) - abs(m.amount_tax)) > 0.0005
  )
