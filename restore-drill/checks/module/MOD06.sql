-- id: MOD06
-- area: module
-- severity: base
-- title: views that modules brought are not empty
-- versions: *
-- requires: ir_model_data.model ir_model_data.module ir_model_data.name ir_model_data.res_id
--   ir_ui_view.arch_db ir_ui_view.inherit_id
-- reason: An empty view shows nothing. Modules may bring empty ones as a place for others, so only
--   a difference to the source counts. Odoo: ir.ui.view.arch_db has what the module's file has.
SELECT d.module || '.' || d.name
FROM ir_model_data d
JOIN ir_ui_view v ON v.id = d.res_id
WHERE d.model = 'ir.ui.view' AND v.inherit_id IS NULL AND pg_temp.is_empty_view(to_jsonb(v)->'arch_db')
