-- id: ACC13
-- area: account
-- severity: hard
-- title: the payment state of a posted invoice agrees with its open amount
-- versions: *
-- requires: account_move.amount_residual account_move.amount_total account_move.move_type
--   account_move.name account_move.payment_state account_move.state
-- reason: Users and dunning act on the payment state. A paid invoice with an open amount, or an
--   unpaid one without, means that payments or reconciliations were lost. Odoo:
--   account.move._compute_payment_state; from 18 on a payment without an entry counts as well.
SELECT id || ' ' || name || ' ' || payment_state || ' residual=' || amount_residual
FROM account_move
WHERE state = 'posted'
  AND move_type IN ('out_invoice', 'in_invoice', 'out_refund', 'in_refund')
  AND (
      (
          payment_state IN ('paid', 'in_payment')
            AND abs(amount_residual) > 0.005
            AND id NOT IN (SELECT pg_temp.paid_without_entry())
      )
        OR (payment_state = 'not_paid' AND abs(amount_residual - amount_total) > 0.005)
        OR (
            payment_state = 'partial'
              AND (amount_residual < 0.005 OR amount_residual > amount_total - 0.005)
        )
  )
