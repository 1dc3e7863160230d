-- id: ACC06
-- area: account
-- severity: hard
-- title: the total of an invoice is its untaxed amount plus its tax
-- versions: *
-- requires: account_move.amount_tax account_move.amount_total account_move.amount_untaxed
--   account_move.move_type account_move.name
-- reason: The customer was sent this total. When its parts no longer add up, one of them was
--   altered or damaged. Odoo: account.move._compute_amount makes the three amounts together.
SELECT id || ' ' || name
FROM account_move
WHERE move_type <> 'entry' AND round(amount_total - amount_untaxed - amount_tax, 6) <> 0
