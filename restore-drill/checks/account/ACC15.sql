-- id: ACC15
-- area: account
-- severity: hard
-- title: the journal entry of a payment points back to it and has its amount
-- versions: <=17
-- requires: account_move.amount_total account_move.payment_id account_payment.amount
--   account_payment.move_id
-- reason: A payment that its entry does not know, or with another amount, is money that the books
--   do not show.
SELECT p.id::text
FROM account_payment p
JOIN account_move m ON m.id = p.move_id
WHERE m.payment_id IS DISTINCT FROM p.id OR abs(m.amount_total - p.amount) > 0.005
