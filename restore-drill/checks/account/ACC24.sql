-- id: ACC24
-- area: account
-- severity: base
-- title: the tax of an invoice is the sum of the tax of its lines
-- versions: >=16
-- requires: account_move.company_id account_move.currency_id account_move.move_type
--   account_move.name account_move.state account_move_line.amount_currency
--   account_move_line.display_type account_move_line.move_id account_move_line.price_subtotal
--   account_move_line.price_total account_move_line_account_tax_rel.account_move_line_id
--   account_move_line_account_tax_rel.account_tax_id res_company.tax_calculation_rounding_method
--   res_currency.rounding
-- reason: A difference means a tax that was altered. The form lets people correct it to what the
--   paper says, so only a difference to the source counts. Odoo: account.move._sync_dynamic_lines
--   makes the tax items from the taxes of the lines; with round_globally each is rounded once for
--   the document. A mixed early-payment discount (items of type epd) lowers the tax of the document
--   alone.
SELECT m.id || ' ' || m.name || ' items ' || s.items || ' vs lines ' || s.tax
FROM account_move m
JOIN res_company c ON c.id = m.company_id
JOIN res_currency u ON u.id = m.currency_id
JOIN (
    SELECT move_id,
           abs(coalesce(sum(amount_currency) FILTER (WHERE display_type = 'tax'), 0)) items,
           abs(sum(amount_currency)) items_total,
           abs(sum(price_total - price_subtotal) FILTER (WHERE display_type = 'product')) tax,
           abs(sum(price_total) FILTER (WHERE display_type = 'product')) total,
           bool_or(l.id IN (
               SELECT account_move_line_id FROM account_move_line_account_tax_rel
               WHERE account_tax_id IN (SELECT pg_temp.included_taxes())
           )) included,
           2 * count(*) FILTER (WHERE display_type = 'product')
               + count(*) FILTER (WHERE display_type = 'tax') roundings
    FROM account_move_line l
    WHERE display_type IN ('product', 'tax')
    GROUP BY 1
) s ON s.move_id = m.id
WHERE m.move_type <> 'entry'
  AND m.state = 'posted'
  AND abs(s.items - s.tax) > pg_temp.rounding_slack(
          c.tax_calculation_rounding_method,
          s.included AND abs(s.total - s.items_total) < u.rounding / 2,
          u.rounding,
          s.roundings
      )
  AND NOT EXISTS (SELECT 1 FROM account_move_line e WHERE e.move_id = m.id AND e.display_type = 'epd')
