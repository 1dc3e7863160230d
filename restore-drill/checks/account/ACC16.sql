-- id: ACC16
-- area: account
-- severity: hard
-- title: the journal entry of a payment, where it has one, points back to it and has its amount
-- versions: >=18
-- requires: account_move.origin_payment_id account_move.statement_line_id
--   account_move_line.amount_currency account_move_line.currency_id account_move_line.move_id
--   account_payment.amount account_payment.currency_id account_payment.move_id
-- reason: A payment that its entry does not know, or with another amount, is money that the books
--   do not show. Odoo: account.payment._prepare_move_line_default_vals gives one item the amount of
--   the payment; a write-off, a discount or a counted difference adds items and changes the other.
SELECT p.id::text
FROM account_payment p
JOIN account_move m ON m.id = p.move_id
WHERE m.statement_line_id IS NULL
  AND (
      m.origin_payment_id IS DISTINCT FROM p.id
        OR NOT EXISTS (
            SELECT 1
            FROM account_move_line l
            WHERE l.move_id = m.id
              AND l.currency_id = p.currency_id
              AND abs(abs(l.amount_currency) - p.amount) < 0.0005
        )
  )
