-- id: REF03
-- area: reference
-- severity: hard
-- title: the records that every Odoo database needs exist
-- versions: *
-- requires: ir_cron ir_model_data.module ir_model_data.name ir_model_data.res_id res_company
--   res_groups res_partner res_users
-- reason: Without its main company, administrator, main groups or clean-up job, Odoo does not start
--   or nobody can log in. Odoo: odoo.modules.db.initialize and the data of base make them.
WITH needed (name, alive) AS (
    VALUES ('main_company', ARRAY(SELECT id FROM res_company)),
           ('main_partner', ARRAY(SELECT id FROM res_partner)),
           ('user_root', ARRAY(SELECT id FROM res_users)),
           ('user_admin', ARRAY(SELECT id FROM res_users)),
           ('group_system', ARRAY(SELECT id FROM res_groups)),
           ('group_user', ARRAY(SELECT id FROM res_groups)),
           ('autovacuum_job', ARRAY(SELECT id FROM ir_cron))
)
SELECT 'base.' || n.name
FROM needed n
LEFT JOIN ir_model_data d ON d.module = 'base' AND d.name = n.name
WHERE d.id IS NULL OR d.res_id <> ALL (n.alive)
