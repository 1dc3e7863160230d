-- id: SEQ04
-- area: sequence
-- severity: hard
-- title: the next transfer number of each operation type is above every one in use
-- versions: *
-- requires: ir_sequence.implementation ir_sequence.prefix ir_sequence.use_date_range
--   stock_picking.name stock_picking.picking_type_id stock_picking_type.sequence_id
-- reason: A sequence that went back makes the next transfer fail, since its number must be unique.
--   Odoo: stock.picking.create takes the name from ir.sequence.next_by_id.
SELECT t.id || ' ' || s.prefix || ' next=' || pg_temp.sequence_next(pg_temp.sequence_name(s.id))
           || ' used=' || max(substring(p.name FROM '(\d+)$')::numeric)
FROM stock_picking_type t
JOIN ir_sequence s ON s.id = t.sequence_id
JOIN stock_picking p ON p.picking_type_id = t.id
  AND p.name LIKE s.prefix || '%'
  AND substring(p.name FROM length(s.prefix) + 1) ~ '^\d+$'
WHERE s.implementation = 'standard'
  AND NOT coalesce(s.use_date_range, FALSE)
  AND to_regclass('public.' || pg_temp.sequence_name(s.id)) IS NOT NULL
GROUP BY t.id, s.id
HAVING max(substring(p.name FROM '(\d+)$')::numeric)
  >= pg_temp.sequence_next(pg_temp.sequence_name(s.id))
