-- id: ACC07
-- area: account
-- severity: hard
-- title: the untaxed amount of a posted invoice is the sum of its lines
-- versions: >=16
-- requires: account_move.amount_untaxed account_move.move_type account_move.name account_move.state
--   account_move_line.display_type account_move_line.move_id account_move_line.price_subtotal
-- reason: An invoice line that got lost leaves the header as it was, so header and lines stop
--   agreeing.
SELECT m.id || ' ' || m.name || ' ' || m.amount_untaxed || ' vs ' || sum(l.price_subtotal)
FROM account_move m
JOIN account_move_line l ON l.move_id = m.id AND l.display_type IN ('product', 'rounding')
WHERE m.move_type IN ('out_invoice', 'in_invoice', 'out_refund', 'in_refund') AND m.state = 'posted'
GROUP BY m.id
HAVING abs(sum(l.price_subtotal) - m.amount_untaxed) > 0.005
