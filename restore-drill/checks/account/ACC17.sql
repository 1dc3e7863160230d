-- id: ACC17
-- area: account
-- severity: hard
-- title: every bank or cash statement line owns a journal entry that points back to it
-- versions: *
-- requires: account_bank_statement_line.move_id account_move.statement_line_id
-- reason: A statement line without its entry is money that moved on the bank account and not in the
--   books. Odoo: account.bank.statement.line.create makes the entry and writes
--   account.move.statement_line_id.
SELECT s.id::text
FROM account_bank_statement_line s
LEFT JOIN account_move m ON m.id = s.move_id
WHERE m.id IS NULL OR m.statement_line_id IS DISTINCT FROM s.id
