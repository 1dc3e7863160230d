-- For restores into this server.
--   psql -X -v ON_ERROR_STOP=1 -f restore-roles.sql   once an instance, as a superuser
-- A restore connects as postgres to make the new database. What the tenant's owner wrote is then loaded by a
-- role that is made for that restore, may do what the owner may, and goes at its end (docs/least-privilege.md).
-- It is a member of this one, which nobody logs in as, so that one line of pg_hba.conf lets it in by password:
--   local all +lifeboat_loader scram-sha-256

SELECT 'CREATE ROLE lifeboat_loader NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lifeboat_loader') \gexec
