-- id: SAL10
-- area: sale
-- severity: base
-- title: the name of a sales order is unique in its company
-- versions: *
-- requires: sale_order.company_id sale_order.name
-- reason: Doubled names mean rows restored twice or a sequence that went back. Odoo does not
--   enforce it, so only a difference to the source counts. Odoo: sale.order.create takes the name
--   from ir.sequence.next_by_code.
SELECT name
FROM sale_order
GROUP BY company_id, name
HAVING count(*) > 1
