-- id: MOD01
-- area: module
-- severity: hard
-- title: no module is stuck in an installation, upgrade or removal
-- versions: *
-- requires: ir_module_module.name ir_module_module.state
-- reason: The copy was taken in the middle of a deployment, and Odoo will try to finish it at its
--   next start. It is not a copy of a state that anyone approved. Odoo:
--   ir.module.module.button_immediate_upgrade leaves no such state when it ends.
SELECT name || ' ' || state
FROM ir_module_module
WHERE state IN ('to install', 'to upgrade', 'to remove')
