-- id: REF01
-- area: reference
-- severity: hard
-- title: no row points at a row that does not exist
-- versions: *
-- requires: ir_model
-- reason: PostgreSQL enforces foreign keys, so an orphan means that rows vanished beneath it:
--   damage or a restore with checks off. Odoo: odoo.fields.Many2one.update_db_foreign_key;
--   PostgreSQL enforces it.
SELECT * FROM pg_temp.foreign_key_orphans()
