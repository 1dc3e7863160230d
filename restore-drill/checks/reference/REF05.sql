-- id: REF05
-- area: reference
-- severity: hard
-- title: every installed module is registered under its external identifier
-- versions: *
-- requires: ir_model_data.module ir_model_data.name ir_module_module.name ir_module_module.state
-- reason: Odoo cannot upgrade a module that it does not find. The registration was lost. Odoo:
--   ir.module.module.create makes this identifier.
SELECT m.name
FROM ir_module_module m
WHERE m.state = 'installed'
  AND NOT EXISTS (
      SELECT 1 FROM ir_model_data d WHERE d.module = 'base' AND d.name = 'module_' || m.name
  )
