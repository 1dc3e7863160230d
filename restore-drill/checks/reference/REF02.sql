-- id: REF02
-- area: reference
-- severity: hard
-- title: all constraints are validated and all indexes valid
-- versions: *
-- requires: ir_model
-- reason: An invalid index can hide rows or let duplicates in; an unvalidated constraint promises
--   nothing about the rows that are there. Odoo: base._auto_init makes constraints and indexes, and
--   PostgreSQL marks them valid when they are.
SELECT conname::text
FROM pg_constraint
WHERE NOT convalidated
UNION ALL
SELECT indexrelid::regclass::text
FROM pg_index
WHERE NOT indisvalid
