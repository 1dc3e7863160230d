-- The role that restores connect as if they must not use a superuser. Reasons and limits: docs/least-privilege.md.
-- Run it once for each owner of tenants, as a superuser:
--   psql -X -v ON_ERROR_STOP=1 -v owner=odoo -f restore-role.sql
-- On a managed server run it as the master user. Then set in restore.toml: postgres.user = "lifeboat_restore", and
-- postgres.host = "127.0.0.1" with its password in postgres.password_file (\password lifeboat_restore sets it).
-- Or allow root to connect over the socket: a line of pg_hba.conf with peer and a map.

SELECT 'CREATE ROLE lifeboat_restore LOGIN CREATEDB CONNECTION LIMIT 20'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lifeboat_restore') \gexec

-- From PostgreSQL 16 on, CREATEROLE reaches only roles that it created itself, so each load gets a role of its own.
-- Before 16, CREATEROLE is nearly a superuser: lifeboat_restore does without it, and loads the dump itself.
SELECT 'ALTER ROLE lifeboat_restore CREATEROLE' WHERE current_setting('server_version_num')::int >= 160000 \gexec

-- It gives what it restored to the tenants' owner.
SELECT format('GRANT %I TO lifeboat_restore', :'owner')
    || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END \gexec
