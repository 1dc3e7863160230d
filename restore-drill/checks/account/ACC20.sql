-- id: ACC20
-- area: account
-- severity: info
-- title: posted journal entries balance in their own currency
-- versions: *
-- requires: account_move.name account_move.state account_move_line.amount_currency
--   account_move_line.move_id
-- reason: Holds for entries in one currency only. Entries with several currencies violate it
--   rightfully, so this is only reported. Odoo: account.move._check_balanced looks at the currency
--   of the company alone.
SELECT m.id || ' ' || m.name
FROM account_move m
JOIN account_move_line l ON l.move_id = m.id
WHERE m.state = 'posted'
GROUP BY m.id
HAVING round(sum(l.amount_currency), 2) <> 0
