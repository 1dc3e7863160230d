-- id: ATT01
-- area: attach
-- severity: hard
-- title: attachments name their file in the filestore by its checksum
-- versions: *
-- requires: ir_attachment.checksum ir_attachment.store_fname
-- reason: Odoo finds a file by this name alone. A name that is not the checksum leads to a missing
--   file or to another document. Odoo: ir.attachment._file_write and ir.attachment._get_path.
SELECT id || ' ' || store_fname
FROM ir_attachment
WHERE store_fname IS NOT NULL
  -- Modules that keep files in an object store name them by an address.
  AND store_fname !~ '^[A-Za-z0-9_.-]+://'
  AND (
      store_fname !~ '^[0-9a-f]{2,3}/[0-9a-f]{40}$'
        OR checksum IS DISTINCT FROM split_part(store_fname, '/', 2)
        OR left(checksum, length(split_part(store_fname, '/', 1))) <> split_part(store_fname, '/', 1)
  )
