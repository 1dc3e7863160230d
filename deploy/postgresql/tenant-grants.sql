-- Run it in each tenant, as its owner or a superuser. It allows the collection fence: Odoo deletes no unused
-- attachments while a backup runs, from the database's snapshot to the end of the filestore. Backups work without
-- it; `lifeboat doctor` says so, and a backup reports files that were deleted while it ran.
GRANT UPDATE ON ir_attachment TO lifeboat;
