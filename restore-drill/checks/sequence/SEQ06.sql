-- id: SEQ06
-- area: sequence
-- severity: hard
-- title: the id of every model comes from a sequence that belongs to it
-- versions: *
-- requires: ir_model.model
-- reason: Without a default no new record can be stored. A sequence that the column does not own is
--   left behind or forgotten by the next copy. Odoo: base._auto_init makes id a serial column; the
--   tables of actions inherit theirs.
SELECT c.relname || '.id' || CASE WHEN d.adbin IS NULL THEN ' has no default'
                                  ELSE ' does not own ' || pg_get_expr(d.adbin, d.adrelid)
                             END
FROM ir_model m
JOIN pg_class c ON c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND c.relname = replace(m.model, '.', '_')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id' AND a.attidentity = '' AND a.attinhcount = 0
JOIN pg_type t ON t.oid = a.atttypid AND t.typname IN ('int4', 'int8')
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE d.adbin IS NULL
  OR NOT EXISTS (
      SELECT 1
      FROM pg_depend o
      JOIN pg_class s ON s.oid = o.objid AND s.relkind = 'S'
      WHERE o.classid = 'pg_class'::regclass
        AND o.refclassid = 'pg_class'::regclass
        AND o.refobjid = c.oid
        AND o.refobjsubid = a.attnum
        AND o.deptype = 'a'
  )
