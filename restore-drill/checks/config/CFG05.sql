-- id: CFG05
-- area: config
-- severity: base
-- title: active internal users have a password
-- versions: *
-- requires: res_users.active res_users.login res_users.password res_users.share
-- reason: A user without a hash cannot log in with his password. Invited users have none at first,
--   so only a difference to the source counts. Odoo: res.users._check_credentials compares with the
--   hash.
SELECT id || ' ' || login
FROM res_users
WHERE active AND NOT coalesce(share, FALSE) AND id > 1 AND coalesce(password, '') = ''
