-- id: ATT06
-- area: attach
-- severity: info
-- title: binary attachments are kept in the filestore
-- versions: *
-- requires: ir_attachment.name ir_attachment.store_fname ir_attachment.type
-- reason: Databases may be set to keep content inside, and empty ones have no file, so this is only
--   reported. Odoo: ir.attachment._storage.
SELECT id || ' ' || name
FROM ir_attachment
WHERE type = 'binary' AND store_fname IS NULL
