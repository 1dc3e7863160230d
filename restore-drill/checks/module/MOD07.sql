-- id: MOD07
-- area: module
-- severity: hard
-- title: the access rights and record rules that modules brought exist
-- versions: *
-- requires: ir_model_access ir_model_data.model ir_model_data.module ir_model_data.name
--   ir_model_data.res_id ir_rule
-- reason: Without its record rules one company reads the other's documents; without its access
--   rights a model is closed to everybody. Odoo: base.unlink removes the identifier together with
--   the record, so one without the other was deleted past Odoo.
SELECT d.module || '.' || d.name
FROM ir_model_data d
WHERE (d.model = 'ir.model.access' AND NOT EXISTS (SELECT 1 FROM ir_model_access a WHERE a.id = d.res_id))
  OR (d.model = 'ir.rule' AND NOT EXISTS (SELECT 1 FROM ir_rule r WHERE r.id = d.res_id))
