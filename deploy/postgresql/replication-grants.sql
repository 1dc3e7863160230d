-- Run it after roles.sql, for base backups (`lifeboat backup --kind base`) and for `lifeboat agent`, which streams WAL.
-- Reasons: docs/least-privilege.md.
--   psql -X -v ON_ERROR_STOP=1 -d postgres -f replication-grants.sql   once an instance, as a superuser, in postgres.maintenance_database
-- pg_hba.conf needs a line for it, because `all` does not include replication: `local replication lifeboat peer`

ALTER ROLE lifeboat REPLICATION;

-- The rest is for base backups that read the data directory themselves. If the server sends its files (it always
-- does where the user lifeboat cannot read them), REPLICATION is enough.

-- To find the data directory; to see the size of databases that the role may not connect to.
GRANT pg_read_all_settings, pg_read_all_stats TO lifeboat;

-- Begin and end of a base backup; they have other names before PostgreSQL 15. The restore point of a release
-- checkpoint; the last one is needed only where archive_command archives WAL.
SELECT format('GRANT EXECUTE ON FUNCTION %s TO lifeboat', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
  AND proname IN ('pg_backup_start', 'pg_backup_stop', 'pg_start_backup', 'pg_stop_backup',
                  'pg_create_restore_point', 'pg_switch_wal') \gexec
