-- id: ACC09
-- area: account
-- severity: hard
-- title: the open amount of a posted invoice is that of its receivable or payable items
-- versions: >=16
-- requires: account_move.amount_residual account_move.move_type account_move.name
--   account_move.state account_move_line.amount_residual_currency account_move_line.display_type
--   account_move_line.move_id
-- reason: Dunning and cash forecasts read the open amount of the invoice, the ledger that of the
--   items. They part ways when reconciliations or items were lost. Odoo:
--   account.move._compute_amount adds up the open amounts of these items.
SELECT m.id || ' ' || m.name || ' ' || m.amount_residual || ' vs ' || sum(l.amount_residual_currency)
FROM account_move m
JOIN account_move_line l ON l.move_id = m.id AND l.display_type = 'payment_term'
WHERE m.move_type IN ('out_invoice', 'in_invoice', 'out_refund', 'in_refund') AND m.state = 'posted'
GROUP BY m.id
HAVING abs(abs(sum(l.amount_residual_currency)) - m.amount_residual) > 0.005
