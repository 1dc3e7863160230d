-- id: SEQ05
-- area: sequence
-- severity: hard
-- title: the id sequence of every table is above its highest id
-- versions: *
-- requires: ir_model
-- reason: Otherwise the next new record of that kind fails with a duplicate key, for every user,
--   until someone repairs the sequence. Odoo: base._auto_init makes id a serial column, and
--   PostgreSQL counts it.
SELECT * FROM pg_temp.id_sequences_behind()
