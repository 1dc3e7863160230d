-- id: ATT02
-- area: attach
-- severity: hard
-- title: attachments with a size have content, in the filestore or in the database
-- versions: *
-- requires: ir_attachment.db_datas ir_attachment.file_size ir_attachment.name
--   ir_attachment.store_fname ir_attachment.type
-- reason: A document with a size and no content is lost; one with both has two truths. Odoo:
--   ir.attachment._get_datas_related_values.
SELECT id || ' ' || name
FROM ir_attachment
WHERE type = 'binary'
  AND (
      (coalesce(file_size, 0) > 0 AND store_fname IS NULL AND db_datas IS NULL)
        OR (store_fname IS NOT NULL AND db_datas IS NOT NULL)
  )
