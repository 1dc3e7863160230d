-- id: MOD02
-- area: module
-- severity: hard
-- title: everything that an installed module depends on is installed
-- versions: *
-- requires: ir_module_module.name ir_module_module.state ir_module_module_dependency.module_id
--   ir_module_module_dependency.name
-- reason: Odoo does not load a module without its dependencies, and what it provides is gone. Odoo:
--   ir.module.module._state_update installs the dependencies first.
SELECT m.name || ' needs ' || d.name
FROM ir_module_module m
JOIN ir_module_module_dependency d ON d.module_id = m.id
LEFT JOIN ir_module_module x ON x.name = d.name
WHERE m.state = 'installed' AND coalesce(x.state, '') <> 'installed'
