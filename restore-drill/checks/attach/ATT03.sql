-- id: ATT03
-- area: attach
-- severity: hard
-- title: attachments that share a file agree on its size
-- versions: *
-- requires: ir_attachment.file_size ir_attachment.store_fname
-- reason: The same file cannot have two sizes. One of the rows is damaged. Odoo:
--   ir.attachment._get_datas_related_values.
SELECT store_fname
FROM ir_attachment
WHERE store_fname IS NOT NULL
GROUP BY 1
HAVING count(DISTINCT file_size) > 1
