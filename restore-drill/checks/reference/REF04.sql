-- id: REF04
-- area: reference
-- severity: base
-- title: external identifiers point at records that exist
-- versions: *
-- requires: ir_model_data.model ir_model_data.module ir_model_data.name ir_model_data.res_id
-- reason: Module upgrades rely on them. Records that users deleted leave some behind, so only a
--   difference to the source counts. Odoo: base.unlink removes the identifiers of a record.
SELECT * FROM pg_temp.dangling_identifiers()
