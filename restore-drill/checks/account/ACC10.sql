-- id: ACC10
-- area: account
-- severity: hard
-- title: the open amount of a journal item is its balance minus what was reconciled with it
-- versions: *
-- requires: account_account.reconcile account_move_line.account_id
--   account_move_line.amount_residual account_move_line.balance account_move_line.parent_state
--   account_partial_reconcile.amount account_partial_reconcile.credit_move_id
--   account_partial_reconcile.debit_move_id
-- reason: A lost reconciliation row makes paid invoices look settled although nothing settles them,
--   or the other way round. Odoo: account.move.line._compute_amount_residual.
SELECT l.id || ' residual=' || l.amount_residual
FROM account_move_line l
JOIN account_account a ON a.id = l.account_id
LEFT JOIN (
    SELECT debit_move_id i, sum(amount) s FROM account_partial_reconcile GROUP BY 1
) d ON d.i = l.id
LEFT JOIN (
    SELECT credit_move_id i, sum(amount) s FROM account_partial_reconcile GROUP BY 1
) c ON c.i = l.id
WHERE l.parent_state = 'posted'
  AND a.reconcile
  AND abs(l.amount_residual - (l.balance - coalesce(d.s, 0) + coalesce(c.s, 0))) > 0.005
