-- id: ACC22
-- area: account
-- severity: base
-- title: draft journal entries balance too
-- versions: *
-- requires: account_move.state account_move_line.balance account_move_line.move_id
-- reason: Odoo keeps drafts balanced, but imports and custom modules may not. A count that differs
--   from the source means that draft items were lost. Odoo: account.move._check_balanced looks at
--   drafts too.
SELECT m.id::text
FROM account_move m
JOIN account_move_line l ON l.move_id = m.id
WHERE m.state = 'draft'
GROUP BY m.id
HAVING round(sum(l.balance), 6) <> 0
