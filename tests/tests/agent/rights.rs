//! What docs/ and deploy/ say that a role may and may not do, asked of a server with exactly these grants:
//! sentence by sentence, in the order of docs/least-privilege.md.

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};

use crate::least_privilege::{HBA, HBA_REPLICATION, as_lifeboat, grant, hba, roles_are_for_this_major};

const DENIED: &str = "ermission denied";

/// Statements of the role in the tenant, and what the server says: nothing where it may.
fn asked(cluster: &Cluster, claims: &[(&str, &str)]) {
    for (sql, refusal) in claims {
        match (cluster.try_psql_as("lifeboat", "shop", sql), refusal.is_empty()) {
            (Ok(_), true) => {}
            (Err(said), false) if said.contains(refusal) => {}
            (answer, _) => panic!("{sql}: expected {refusal:?}: {answer:?}"),
        }
    }
}

/// What it may not do with any of the grants: nothing of a tenant changes, nothing of the server's is
/// reached.
const NEVER: [(&str, &str); 20] = [
    ("insert into res_partner default values", DENIED),
    ("update res_partner set id = id", DENIED),
    ("delete from ir_attachment", DENIED),
    ("truncate ir_attachment", DENIED),
    ("alter table ir_attachment add x int", "must be owner"),
    ("drop table ir_attachment", "must be owner"),
    ("create schema theirs", DENIED),
    ("create database theirs", DENIED),
    ("drop database shop", "must be owner"),
    ("create role theirs", DENIED),
    ("alter role lifeboat superuser", "must be superuser"),
    ("alter system set work_mem = '64MB'", DENIED),
    ("copy ir_attachment to program 'cat'", "pg_execute_server_program"),
    ("copy ir_attachment to '/tmp/never'", "pg_write_server_files"),
    ("select pg_read_file('postgresql.conf')", DENIED),
    ("select pg_ls_dir('.')", DENIED),
    ("select pg_promote()", DENIED),
    ("select pg_switch_wal()", DENIED),
    ("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'", "terminate"),
    ("set role postgres", DENIED),
];

#[test]
fn each_grant_gives_what_is_said_of_it_and_no_more() {
    if !roles_are_for_this_major() {
        return;
    }
    let (cluster, _site) = as_lifeboat();
    cluster.psql(
        "shop",
        "create schema other; create table other.later (id int); create sequence other.counter; \
         create table ours (id int); insert into ours values (1); alter table ours enable row level security; \
         select lo_from_bytea(4711, 'x')",
    );
    asked(
        &cluster,
        &[
            // pg_read_all_data: every table and sequence, those of tomorrow too, and pg_authid
            (
                "select * from ir_attachment; select * from other.later; select last_value from other.counter",
                "",
            ),
            ("select rolpassword from pg_authid", ""),
            // not what has rights of its own
            ("select lo_get(4711)", DENIED),
            ("set row_security = off; select * from ours", "row-level security"),
            // not the fence, not replication: those are two more files
            ("begin; lock ir_attachment in row exclusive mode", DENIED),
            ("select pg_create_physical_replication_slot('theirs')", "eplication"),
            ("select pg_drop_replication_slot('theirs')", "eplication"),
            ("select current_setting('data_directory')", "data_directory"),
        ],
    );
    asked(&cluster, &NEVER);
    if cluster.major() >= 15 {
        asked(&cluster, &[("create table public.theirs (id int)", DENIED)]); // before, PUBLIC may
    }
    let attributes = "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication, rolconnlimit \
                      from pg_roles where rolname = 'lifeboat'";
    assert_eq!(cluster.psql("postgres", attributes), "f|f|f|f|f|10");

    // the fence; whoever has the role could change the table then, as the page says
    grant(&cluster, "shop", "tenant-grants.sql");
    asked(
        &cluster,
        &[(
            "begin; lock ir_attachment in row exclusive mode; update ir_attachment set id = id; rollback",
            "",
        )],
    );
    asked(&cluster, &NEVER);

    grant(&cluster, "postgres", "replication-grants.sql");
    cluster.psql("postgres", "create database closed; revoke connect on database closed from public");
    let (begin, end) = match cluster.major() {
        ..15 => ("pg_start_backup", "pg_stop_backup"),
        _ => ("pg_backup_start", "pg_backup_stop"),
    };
    let may = format!(
        "select bool_and(has_function_privilege('lifeboat', p.oid, 'EXECUTE')) from pg_proc p \
         where proname in ('{begin}', '{end}')"
    );
    assert_eq!(cluster.psql("postgres", &may), "t", "in postgres.maintenance_database");
    assert_eq!(cluster.psql("shop", &may), "f", "and nowhere else");
    asked(
        &cluster,
        &[
            ("select pg_create_physical_replication_slot('theirs')", ""),
            ("select pg_drop_replication_slot('theirs')", ""),
            ("select current_setting('data_directory')", ""),
            ("select pg_database_size('closed')", ""),
        ],
    );
    asked(&cluster, &NEVER);
    // `all` in pg_hba.conf is not replication
    let stream = || {
        let mut psql = cluster.client("psql");
        psql.args([
            "-XAtq",
            "-U",
            "lifeboat",
            "-d",
            "dbname=postgres replication=yes",
            "-c",
            "IDENTIFY_SYSTEM",
        ]);
        psql.output().unwrap().status.success()
    };
    assert!(!stream());
    hba(&cluster, &format!("{HBA}{HBA_REPLICATION}"));
    assert!(stream());

    // each file can be run again
    for (database, file) in
        [("postgres", "roles.sql"), ("postgres", "replication-grants.sql"), ("shop", "tenant-grants.sql")]
    {
        grant(&cluster, database, file);
    }
}

/// The newest globals.sql, and what doctor and the backup say of passwords.
fn globals(site: &Site) -> (String, String, String) {
    let doctor = site.run(&["doctor", "--json"]).run().json();
    let checks = doctor["checks"].as_array().unwrap();
    let told = checks.iter().find(|check| check["name"] == "postgresql").unwrap()["text"].to_string();
    let report = site.back_up(&["--kind", "dump"]);
    let id = report["globals"]["id"].as_str().unwrap();
    let sql = site.run(&["cat", id, "globals.sql", "--identity", "lifeboat-identity.txt"]).run().ok().stdout;
    (sql, told, report["notes"].to_string())
}

#[test]
fn hashes_of_passwords_are_stored_where_the_role_can_read_them_and_doctor_says_which() {
    if !roles_are_for_this_major() {
        return;
    }
    let (cluster, mut site) = as_lifeboat();
    cluster.psql("postgres", "create role boss login superuser password 'made-up'");
    let (sql, doctor, notes) = globals(&site);
    assert!(sql.contains("ALTER ROLE boss WITH") && sql.contains("PASSWORD 'SCRAM-SHA-256"), "{sql}");
    assert!(doctor.contains("roles are stored with the hashes of their passwords"), "{doctor}");
    assert!(!notes.contains("password"), "{notes}");

    // the owner of the tenants, as in README's quick start
    cluster.psql("postgres", "create role odoo login createdb; alter database shop owner to odoo");
    let owned = "select string_agg(format('alter table %s owner to odoo', oid::regclass), '; ') from pg_class c \
                 where relnamespace = 'public'::regnamespace and (relkind = 'r' or (relkind = 'S' and not exists \
                 (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i'))))";
    cluster.psql("shop", &cluster.psql("shop", owned));
    hba(&cluster, &format!("{HBA}local all odoo trust\n"));
    site.set("LIFEBOAT_POSTGRES_USER", "odoo");
    let (sql, doctor, notes) = globals(&site);
    assert!(sql.contains("ALTER ROLE boss WITH") && !sql.contains("SCRAM"), "{sql}");
    assert!(doctor.contains("roles are stored without passwords"), "{doctor}");
    assert!(notes.contains("roles are stored without their passwords"), "{notes}");
}

#[test]
fn a_base_backup_over_the_protocol_needs_replication_and_nothing_else() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    cluster.psql("postgres", "create role lifeboat login replication");
    cluster.psql("postgres", "revoke connect on database shop from public");
    hba(&cluster, &format!("{HBA}{HBA_REPLICATION}"));
    site.set("LIFEBOAT_POSTGRES_USER", "lifeboat");
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol");
    site.back_up(&["--kind", "base"]);
    cluster.psql("postgres", "alter role lifeboat noreplication");
    site.backup(&["--kind", "base"]).run().exits(13);
}

#[test]
fn no_role_that_reaches_beyond_its_own_objects_loads_a_dump() {
    if !roles_are_for_this_major() {
        return;
    }
    let (cluster, mut site) = as_lifeboat();
    site.back_up(&["--kind", "dump"]);
    let restore = |site: &Site| {
        let args = ["--tenant", "shop", "--as", "copy", "--identity", "lifeboat-identity.txt", "--dry-run"];
        site.run(&["restore"]).args(args)
    };
    // the backup role cannot restore: it reads everybody's data
    let refused = restore(&site).run().exits(16);
    assert!(words(&refused).contains("pg_read_all_data"), "{refused}");
    assert!(!cluster.has_db("copy"));

    // CREATEDB, and a member of the tenant's owner
    cluster.psql("postgres", "create role odoo login; alter database shop owner to odoo");
    cluster.psql("postgres", "create role restorer login createdb; grant odoo to restorer");
    hba(&cluster, &format!("{HBA}local all restorer trust\n"));
    site.set("LIFEBOAT_POSTGRES_USER", "restorer");
    let plan = restore(&site).args(["--owner", "odoo"]).run().ok();
    assert!(plan.stdout.contains("the configured role, which has no dangerous rights"), "{plan}");
    let predefined = "select rolname from pg_roles where rolname ~ '^pg_' and rolname <> 'pg_database_owner'";
    for role in cluster.psql("postgres", predefined).lines() {
        cluster.psql("postgres", &format!("grant {role} to restorer"));
        let refused = restore(&site).args(["--owner", "odoo"]).run().exits(16);
        assert!(words(&refused).contains(role), "{role}: {refused}");
        cluster.psql("postgres", &format!("revoke {role} from restorer"));
    }
    // with CREATEROLE it makes a role for the load, which has none of its rights
    cluster.psql("postgres", "alter role restorer createrole");
    let plan = restore(&site).args(["--owner", "odoo"]).run().ok();
    assert!(plan.stdout.contains("a role made for this load"), "{plan}");
    cluster.psql("postgres", "alter role restorer nocreaterole");
    for attribute in ["replication", "bypassrls"] {
        cluster.psql("postgres", &format!("alter role restorer {attribute}"));
        restore(&site).args(["--owner", "odoo"]).run().exits(16);
        cluster.psql("postgres", &format!("alter role restorer no{attribute}"));
    }
    cluster.psql("postgres", "create role boss superuser; grant boss to odoo");
    restore(&site).args(["--owner", "odoo"]).run().exits(16);
    cluster.psql("postgres", "revoke boss from odoo");
    restore(&site).args(["--owner", "odoo"]).run().ok();
}
