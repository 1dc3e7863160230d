-- id: MOD03
-- area: module
-- severity: hard
-- title: base is installed and all installed modules are of its series
-- versions: *
-- requires: ir_module_module.latest_version ir_module_module.name ir_module_module.state
-- reason: Modules of two series in one database mean a migration that stopped half way. Odoo:
--   odoo.modules.loading.load_module_graph writes the version of the code.
SELECT name || ' ' || coalesce(latest_version, 'NULL')
FROM ir_module_module
WHERE state = 'installed'
  AND coalesce(latest_version, '') NOT LIKE (
      SELECT split_part(latest_version, '.', 1) || '.' || split_part(latest_version, '.', 2) || '.%'
      FROM ir_module_module
      WHERE name = 'base'
  )
UNION ALL
SELECT 'base missing'
WHERE NOT EXISTS (SELECT 1 FROM ir_module_module WHERE name = 'base' AND state = 'installed')
