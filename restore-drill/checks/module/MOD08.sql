-- id: MOD08
-- area: module
-- severity: base
-- title: access rights and record rules are switched on, and every model with a table has some
-- versions: *
-- requires: ir_model.model ir_model.transient ir_model_access.active ir_model_access.model_id
--   ir_model_access.name ir_rule.active ir_rule.name
-- reason: A rule that is switched off protects nothing; a model without an access right is closed
--   to everybody. Administrators and custom modules do both, so only a difference to the source
--   counts. Odoo: ir.model.access.check and ir.rule._compute_domain read the active ones.
SELECT 'rule ' || id || ' ' || coalesce(name, '')
FROM ir_rule
WHERE NOT active
UNION ALL
SELECT 'access right ' || id || ' ' || name
FROM ir_model_access
WHERE NOT active
UNION ALL
SELECT 'model ' || m.model || ' has no access right'
FROM ir_model m
WHERE NOT coalesce(m.transient, FALSE)
  AND pg_temp.has_column(replace(m.model, '.', '_'), 'id')
  AND NOT EXISTS (SELECT 1 FROM ir_model_access a WHERE a.model_id = m.id)
