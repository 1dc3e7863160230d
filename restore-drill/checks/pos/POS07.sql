-- id: POS07
-- area: pos
-- severity: hard
-- title: an invoiced POS order has its invoice
-- versions: *
-- requires: account_move pos_order.account_move pos_order.name pos_order.state
-- reason: The customer holds an invoice that the books no longer know. Odoo:
--   pos.order._generate_pos_order_invoice makes it; accountants may set it back to draft.
SELECT o.id || ' ' || o.name
FROM pos_order o
LEFT JOIN account_move m ON m.id = o.account_move
WHERE o.state = 'invoiced' AND m.id IS NULL
