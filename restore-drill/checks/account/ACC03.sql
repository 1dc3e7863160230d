-- id: ACC03
-- area: account
-- severity: hard
-- title: journal items agree with their entry (state, date, journal, company)
-- versions: *
-- requires: account_move.company_id account_move.date account_move.journal_id account_move.state
--   account_move_line.company_id account_move_line.date account_move_line.journal_id
--   account_move_line.move_id account_move_line.parent_state
-- reason: Odoo copies these fields from the entry to its items, and reports read the copies. A
--   difference makes balance sheet and general ledger disagree. Odoo:
--   account.move.line.parent_state and its neighbours are stored copies of the fields of
--   account.move.
SELECT l.id::text
FROM account_move_line l
JOIN account_move m ON m.id = l.move_id
WHERE l.parent_state IS DISTINCT FROM m.state
  OR l.company_id IS DISTINCT FROM m.company_id
  OR l.journal_id IS DISTINCT FROM m.journal_id
  OR l.date IS DISTINCT FROM m.date
