-- id: CFG06
-- area: config
-- severity: hard
-- title: someone has the rights of an administrator
-- versions: *
-- requires: ir_model_data.model ir_model_data.module ir_model_data.name ir_model_data.res_id
--   res_groups_users_rel.gid res_groups_users_rel.uid res_users.active
-- reason: With an empty group nobody can give rights or change settings any more. Odoo: the data of
--   base put its administrator into this group; res.users.has_group asks for it.
SELECT 'no active user is in the group base.group_system'
WHERE NOT EXISTS (
    SELECT 1
    FROM ir_model_data d
    JOIN res_groups_users_rel r ON r.gid = d.res_id
    JOIN res_users u ON u.id = r.uid
    WHERE d.module = 'base' AND d.name = 'group_system' AND d.model = 'res.groups' AND u.active AND u.id > 1
)
