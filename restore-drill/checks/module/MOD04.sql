-- id: MOD04
-- area: module
-- severity: hard
-- title: every stored field has its column
-- versions: *
-- requires: ir_model_fields.model ir_model_fields.name ir_model_fields.store ir_model_fields.ttype
-- reason: Odoo reads a column that is not there as soon as a user opens the form, and fails. The
--   schema is from another moment than the registry. Odoo: base._auto_init makes the column of each
--   stored field.
SELECT f.model || '.' || f.name
FROM ir_model_fields f
JOIN information_schema.tables t ON t.table_schema = 'public'
  AND t.table_type = 'BASE TABLE'
  AND t.table_name = replace(f.model, '.', '_')
WHERE f.store
  AND f.ttype NOT IN ('one2many', 'many2many', 'properties')
  AND NOT (f.ttype = 'binary')
  AND NOT EXISTS (
      SELECT 1
      FROM information_schema.columns c
      WHERE c.table_schema = 'public' AND c.table_name = t.table_name AND c.column_name = f.name
  )
