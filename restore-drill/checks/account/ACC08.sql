-- id: ACC08
-- area: account
-- severity: hard
-- title: the total of a posted invoice is what its receivable or payable items ask for
-- versions: >=16
-- requires: account_move.amount_total account_move.move_type account_move.name account_move.state
--   account_move_line.amount_currency account_move_line.display_type account_move_line.move_id
-- reason: What the ledger says the customer owes must be what the invoice says. A difference means
--   that a due item was lost or changed. Odoo: account.move._compute_needed_terms splits exactly
--   the total over these items.
SELECT m.id || ' ' || m.name || ' ' || m.amount_total || ' vs ' || abs(sum(l.amount_currency))
FROM account_move m
JOIN account_move_line l ON l.move_id = m.id AND l.display_type = 'payment_term'
WHERE m.move_type IN ('out_invoice', 'in_invoice', 'out_refund', 'in_refund') AND m.state = 'posted'
GROUP BY m.id
HAVING abs(abs(sum(l.amount_currency)) - m.amount_total) > 0.005
