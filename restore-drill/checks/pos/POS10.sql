-- id: POS10
-- area: pos
-- severity: info
-- title: receipt numbers of POS orders are unique
-- versions: *
-- requires: pos_order.pos_reference
-- reason: Synchronisation of offline tills can double them rightfully, so this is only reported.
--   Odoo: pos.order.refund gives a refund the number of its order.
SELECT pos_reference FROM pos_order GROUP BY 1 HAVING count(*) > 1
