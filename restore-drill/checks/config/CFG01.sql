-- id: CFG01
-- area: config
-- severity: hard
-- title: the database has its identity (uuid, secret, creation date)
-- versions: *
-- requires: ir_config_parameter.key ir_config_parameter.value
-- reason: Sessions, portal links and signed tokens depend on the secret, the licence and all paid
--   services on the uuid. Odoo: ir.config_parameter.init makes them.
SELECT k
FROM unnest(ARRAY['database.uuid', 'database.secret', 'database.create_date']) k
WHERE NOT EXISTS (SELECT 1 FROM ir_config_parameter p WHERE p.key = k AND coalesce(p.value, '') <> '')
