-- The role that backups connect as, on PostgreSQL 14 or newer. Reasons: docs/least-privilege.md.
--   psql -X -v ON_ERROR_STOP=1 -f roles.sql                          once an instance, as a superuser
--   psql -X -v ON_ERROR_STOP=1 -d TENANT -f tenant-grants.sql        once a tenant (optional: the collection fence)
--   psql -X -v ON_ERROR_STOP=1 -d postgres -f replication-grants.sql  once an instance (optional: base backups, the agent)
-- Local connections: add `local all lifeboat peer` to pg_hba.conf; the agent then runs as the user lifeboat and needs no password.

SELECT 'CREATE ROLE lifeboat LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 10'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lifeboat') \gexec

-- SELECT on every table and sequence of every database, those of tomorrow too.
GRANT pg_read_all_data TO lifeboat;

-- Databases from which CONNECT was taken away from PUBLIC need it by name.
SELECT format('GRANT CONNECT ON DATABASE %I TO lifeboat', datname) FROM pg_database
WHERE datallowconn AND NOT datistemplate \gexec

