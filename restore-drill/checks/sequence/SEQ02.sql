-- id: SEQ02
-- area: sequence
-- severity: hard
-- title: the next sales order number is above every one in use
-- versions: *
-- requires: ir_sequence.active ir_sequence.code ir_sequence.company_id ir_sequence.implementation
--   ir_sequence.prefix ir_sequence.use_date_range sale_order.company_id sale_order.name
-- reason: A sequence that went back gives out numbers that customers already have. Odoo:
--   sale.order.create takes the name from ir.sequence.next_by_code.
SELECT s.id || ' ' || s.prefix || ' next=' || pg_temp.sequence_next(pg_temp.sequence_name(s.id))
           || ' used=' || max(substring(o.name FROM '(\d+)$')::numeric)
FROM ir_sequence s
JOIN sale_order o ON o.name ~ ('^' || s.prefix || '\d+$')
  AND (s.company_id IS NULL OR s.company_id = o.company_id)
WHERE s.code = 'sale.order'
  AND s.implementation = 'standard'
  AND NOT coalesce(s.use_date_range, FALSE)
  AND s.active
  AND s.prefix ~ '^[A-Za-z/_-]+$'
  AND to_regclass('public.' || pg_temp.sequence_name(s.id)) IS NOT NULL
GROUP BY s.id
HAVING max(substring(o.name FROM '(\d+)$')::numeric)
  >= pg_temp.sequence_next(pg_temp.sequence_name(s.id))
