-- id: CFG02
-- area: config
-- severity: hard
-- title: someone can log in, and every company has a currency
-- versions: *
-- requires: res_company.currency_id res_users.active res_users.share
-- reason: Without an active internal user nobody can work; without a currency no amount can be
--   shown. Odoo: res.company.currency_id is required; res.users._check_one_user_type keeps users
--   apart.
SELECT 'no active internal user'
WHERE NOT EXISTS (SELECT 1 FROM res_users WHERE active AND NOT share AND id > 1)
UNION ALL
SELECT 'company without currency ' || id
FROM res_company
WHERE currency_id IS NULL
