-- The role that backups connect as, on PostgreSQL 14 or newer. Reasons: docs/least-privilege.md.
-- Run these files in this order; each can be run again (docs/installation.md):
--   psql -X -v ON_ERROR_STOP=1 -f roles.sql                           1. once an instance, as a superuser
--   psql -X -v ON_ERROR_STOP=1 -d postgres -f replication-grants.sql  2. once an instance: base backups, the agent (optional)
--   psql -X -v ON_ERROR_STOP=1 -d TENANT -f tenant-grants.sql         3. once a tenant: the collection fence (optional)
-- Local connections need no password, with the lines of pg_hba.conf and pg_ident.conf in this directory.

SELECT 'CREATE ROLE lifeboat LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 10'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lifeboat') \gexec

-- SELECT on every table and sequence of every database, future ones too.
GRANT pg_read_all_data TO lifeboat;

-- If CONNECT on a database was revoked from PUBLIC, the role needs it by name.
SELECT format('GRANT CONNECT ON DATABASE %I TO lifeboat', datname) FROM pg_database
WHERE datname NOT IN ('template0', 'template1') AND datname NOT LIKE '%lifeboat_incomplete' \gexec
