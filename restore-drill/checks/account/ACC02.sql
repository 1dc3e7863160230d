-- id: ACC02
-- area: account
-- severity: hard
-- title: the balance of a journal item is its debit minus its credit
-- versions: *
-- requires: account_move_line.balance account_move_line.credit account_move_line.debit
-- reason: The three amounts are stored side by side and Odoo always writes them together. When they
--   disagree, the row was altered outside Odoo or damaged. Odoo:
--   account.move.line._compute_debit_credit makes debit and credit from the balance.
SELECT id::text
FROM account_move_line
WHERE round(coalesce(balance, 0) - coalesce(debit, 0) + coalesce(credit, 0), 6) <> 0
