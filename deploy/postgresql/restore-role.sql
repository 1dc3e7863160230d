-- The role that restores connect as, where no superuser is to do it. Reasons and limits: docs/least-privilege.md.
--   psql -X -v ON_ERROR_STOP=1 -v owner=odoo -f restore-role.sql   once an instance, as a superuser; again for each owner of tenants
-- On a managed server run it as the master user. Then: postgres.user = "lifeboat_restore" in restore.toml, and its
-- password in postgres.password_file (\password lifeboat_restore sets it), or a line of pg_hba.conf with peer.

SELECT 'CREATE ROLE lifeboat_restore LOGIN CREATEDB CONNECTION LIMIT 20'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lifeboat_restore') \gexec

-- From 16 on CREATEROLE reaches only the roles that it made itself, so each load gets a role of its own. Before,
-- CREATEROLE is nearly a superuser: without it lifeboat_restore loads the dump itself.
SELECT 'ALTER ROLE lifeboat_restore CREATEROLE' WHERE current_setting('server_version_num')::int >= 160000 \gexec

-- What it restored it gives to the tenants' owner.
SELECT format('GRANT %I TO lifeboat_restore', :'owner')
    || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END \gexec
