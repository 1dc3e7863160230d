-- id: ACC01
-- area: account
-- severity: hard
-- title: every posted journal entry balances: debits equal credits
-- versions: *
-- requires: account_move.name account_move.state account_move_line.balance account_move_line.credit
--   account_move_line.debit account_move_line.move_id
-- reason: Double-entry bookkeeping does not allow an entry whose debits and credits differ. A
--   difference means that lines of the entry were lost or changed. Odoo:
--   account.move._check_balanced refuses anything else.
SELECT m.id || ' ' || m.name || ' diff=' || sum(l.balance)
FROM account_move m
JOIN account_move_line l ON l.move_id = m.id
WHERE m.state = 'posted'
GROUP BY m.id
HAVING round(sum(l.balance), 6) <> 0 OR round(sum(l.debit - l.credit), 6) <> 0
