-- id: SEQ01
-- area: sequence
-- severity: hard
-- title: every standard numbering sequence owns its PostgreSQL sequence
-- versions: *
-- requires: ir_sequence.implementation ir_sequence_date_range.sequence_id
-- reason: Without it the next order, transfer or invoice cannot be numbered and users get an error.
--   Odoo: ir.sequence.create makes it.
SELECT pg_temp.sequence_name(id)
FROM ir_sequence
WHERE implementation = 'standard' AND to_regclass('public.' || pg_temp.sequence_name(id)) IS NULL
UNION ALL
SELECT pg_temp.sequence_name(s.id, r.id)
FROM ir_sequence_date_range r
JOIN ir_sequence s ON s.id = r.sequence_id
WHERE s.implementation = 'standard'
  AND to_regclass('public.' || pg_temp.sequence_name(s.id, r.id)) IS NULL
