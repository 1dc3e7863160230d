-- id: CFG04
-- area: config
-- severity: hard
-- title: someone who works here can prove who he is
-- versions: *
-- requires: res_users.active res_users.password res_users.share
-- reason: Nobody can log in when all password hashes are gone. Log-in by OAuth needs none, and by
--   LDAP none either. Odoo: res.users._check_credentials compares with the hash.
SELECT 'no active internal user has a password'
WHERE NOT EXISTS (
    SELECT 1
    FROM res_users u
    WHERE u.active
      AND NOT coalesce(u.share, FALSE)
      AND u.id > 1
      AND coalesce(u.password, to_jsonb(u)->>'oauth_uid', '') <> ''
)
  AND to_regclass('public.res_company_ldap') IS NULL
