-- id: POS11
-- area: pos
-- severity: info
-- title: no POS payment is negative
-- versions: *
-- requires: pos_payment.amount
-- reason: Refunds and change are negative rightfully, so this is only reported. Odoo:
--   pos.order.add_payment takes change as a negative payment.
SELECT id::text FROM pos_payment WHERE amount < 0
