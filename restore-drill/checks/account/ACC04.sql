-- id: ACC04
-- area: account
-- severity: hard
-- title: every posted journal entry has at least one item
-- versions: *
-- requires: account_move.name account_move.state account_move_line.move_id
-- reason: A posted entry without items is an amount without an account. Its items were lost. Odoo:
--   account.move._post refuses an entry without items.
SELECT m.id || ' ' || m.name
FROM account_move m
WHERE m.state = 'posted' AND NOT EXISTS (SELECT 1 FROM account_move_line l WHERE l.move_id = m.id)
