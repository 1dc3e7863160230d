-- id: ATT04
-- area: attach
-- severity: hard
-- title: content kept in the database has the size that was declared
-- versions: *
-- requires: ir_attachment.db_datas ir_attachment.file_size
-- reason: A different length means that the document was cut or altered. Odoo:
--   ir.attachment._get_datas_related_values.
SELECT id::text
FROM ir_attachment
WHERE db_datas IS NOT NULL AND octet_length(db_datas) <> coalesce(file_size, 0)
