-- id: ATT05
-- area: attach
-- severity: base
-- title: attachments belong to records that exist
-- versions: *
-- requires: ir_attachment.res_id ir_attachment.res_model
-- reason: A document whose record is gone is found by nobody. Odoo leaves attachments of some
--   deleted records behind, so only a difference to the source counts. Odoo: base.unlink removes
--   the attachments of a record.
SELECT * FROM pg_temp.dangling_attachments()
