-- id: ACC23
-- area: account
-- severity: hard
-- title: the journal items of an invoice carry the subtotals of its lines
-- versions: >=16
-- requires: account_move.company_id account_move.currency_id account_move.move_type
--   account_move.name account_move.state account_move_line.amount_currency
--   account_move_line.display_type account_move_line.move_id account_move_line.price_subtotal
--   account_move_line.price_total account_move_line_account_tax_rel.account_move_line_id
--   account_move_line_account_tax_rel.account_tax_id res_company.tax_calculation_rounding_method
--   res_currency.rounding
-- reason: The ledger and the printed invoice must name the same amounts. Odoo:
--   account.move.line._compute_totals and account.move._sync_dynamic_lines compute both from
--   quantity, price and tax; with round_globally the items take the rounding of the document.
SELECT m.id || ' ' || m.name || ' items ' || s.items || ' vs lines ' || s.untaxed
FROM account_move m
JOIN res_company c ON c.id = m.company_id
JOIN res_currency u ON u.id = m.currency_id
JOIN (
    SELECT move_id,
           abs(sum(amount_currency) FILTER (WHERE display_type = 'product')) items,
           abs(sum(amount_currency)) items_total,
           abs(sum(price_subtotal) FILTER (WHERE display_type = 'product')) untaxed,
           abs(sum(price_total) FILTER (WHERE display_type = 'product')) total,
           bool_or(l.id IN (
               SELECT account_move_line_id FROM account_move_line_account_tax_rel
               WHERE account_tax_id IN (SELECT pg_temp.included_taxes())
           )) included,
           count(*) FILTER (WHERE display_type = 'product') lines
    FROM account_move_line l
    WHERE display_type IN ('product', 'tax')
    GROUP BY 1
) s ON s.move_id = m.id
WHERE m.move_type <> 'entry'
  AND m.state = 'posted'
  AND abs(s.items - s.untaxed) > pg_temp.rounding_slack(
          c.tax_calculation_rounding_method,
          s.included AND abs(s.total - s.items_total) < u.rounding / 2,
          u.rounding,
          s.lines
      )
