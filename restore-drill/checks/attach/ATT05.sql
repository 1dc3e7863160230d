-- id: ATT05
-- area: attach
-- severity: info
-- title: attachments belong to records that exist
-- versions: *
-- requires: ir_attachment.res_id ir_attachment.res_model
-- reason: Odoo leaves attachments of some deleted records behind, so this is only reported.
SELECT * FROM pg_temp.dangling_attachments()
