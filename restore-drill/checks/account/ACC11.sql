-- id: ACC11
-- area: account
-- severity: hard
-- title: a fully reconciled journal item has nothing left open
-- versions: *
-- requires: account_move_line.amount_residual account_move_line.full_reconcile_id
--   account_move_line.reconciled
-- reason: An item cannot be marked as settled and still be owed. The mark or the amount is from
--   another moment than the rest of the data. Odoo: account.move.line.reconcile makes
--   account.full.reconcile only when nothing is left open.
SELECT id::text
FROM account_move_line
WHERE full_reconcile_id IS NOT NULL AND (abs(amount_residual) > 0.005 OR NOT reconciled)
