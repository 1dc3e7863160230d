-- id: ACC21
-- area: account
-- severity: info
-- title: the total of a miscellaneous entry is the sum of its debits
-- versions: *
-- requires: account_move.amount_total account_move.move_type account_move.name account_move.state
--   account_move_line.debit account_move_line.move_id
-- reason: Usual, but not for entries with several currencies or negative lines, so this is only
--   reported. Odoo: account.move._compute_amount adds up the debits in the currency of the company.
SELECT m.id || ' ' || m.name
FROM account_move m
JOIN account_move_line l ON l.move_id = m.id
WHERE m.state = 'posted' AND m.move_type = 'entry'
GROUP BY m.id
HAVING abs(sum(l.debit) - m.amount_total) > 0.005
