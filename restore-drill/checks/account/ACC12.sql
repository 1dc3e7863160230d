-- id: ACC12
-- area: account
-- severity: hard
-- title: a reconciliation joins a debit with a credit and does not exceed either
-- versions: *
-- requires: account_move_line.balance account_partial_reconcile.amount
--   account_partial_reconcile.credit_move_id account_partial_reconcile.debit_move_id
-- reason: A payment cannot settle more than its own amount or the amount that was owed. Such a row
--   points at the wrong item or carries a wrong amount. Odoo: account.move.line.reconcile takes the
--   smaller of the two open amounts.
SELECT p.id::text
FROM account_partial_reconcile p
JOIN account_move_line d ON d.id = p.debit_move_id
JOIN account_move_line c ON c.id = p.credit_move_id
WHERE p.amount < 0
  OR d.balance < 0
  OR c.balance > 0
  OR p.amount > abs(d.balance) + 0.005
  OR p.amount > abs(c.balance) + 0.005
