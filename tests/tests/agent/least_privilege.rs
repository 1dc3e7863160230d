//! deploy/postgresql gives what base backups and streaming need, and no more: as they stand, on a
//! server that lets nobody else in.

use std::time::{Duration, Instant};

use lifeboat_tests::program::workspace_root;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, installed, skip, small_tenant};
use rustix::process::Signal;

/// What pg_hba.conf says in all of it.
pub const HBA: &str = "local all postgres trust\nlocal all lifeboat trust\n";
pub const HBA_REPLICATION: &str = "local replication lifeboat trust\n";

/// Runs an example as a superuser.
pub fn grant(cluster: &Cluster, database: &str, file: &str) {
    let file = workspace_root().join("deploy/postgresql").join(file);
    cluster.run("psql", &["-X", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", file.to_str().unwrap()]);
}

pub fn hba(cluster: &Cluster, text: &str) {
    std::fs::write(cluster.data_dir().join("pg_hba.conf"), text).unwrap();
    cluster.psql("postgres", "select pg_reload_conf()");
}

/// A server with a tenant and the role of roles.sql, and a site that connects as it.
pub fn as_lifeboat() -> (Cluster, Site) {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    grant(&cluster, "postgres", "roles.sql");
    hba(&cluster, HBA);
    site.set("LIFEBOAT_POSTGRES_USER", "lifeboat");
    site.set("LIFEBOAT_AGENT_LISTEN", "off");
    (cluster, site)
}

/// Before 14 there is no role that reads everything: there one connects as the owner of the tenants.
pub fn roles_are_for_this_major() -> bool {
    let major = installed::find(None).major;
    if major < 14 {
        skip::announce(
            module_path!(),
            &format!("roles.sql is for PostgreSQL 14 and newer, and this is {major}"),
        );
    }
    major >= 14
}

#[test]
fn with_exactly_these_grants_everything_is_backed_up() {
    if !roles_are_for_this_major() {
        return;
    }
    let (cluster, site) = as_lifeboat();
    grant(&cluster, "postgres", "replication-grants.sql");
    grant(&cluster, "shop", "tenant-grants.sql");
    hba(&cluster, &format!("{HBA}{HBA_REPLICATION}"));
    // made afterwards, and closed to it
    cluster.psql("postgres", "create database later");
    cluster.psql("postgres", "revoke connect on database later from public");
    let role = "select rolsuper or rolcreaterole or rolcreatedb or rolbypassrls from pg_roles where rolname = 'lifeboat'";
    assert_eq!(cluster.psql("postgres", role), "f");

    let base = site.back_up(&["--kind", "base"]);
    assert_eq!(base["notes"], serde_json::json!([]), "no slot, or something was passed over: {base}");
    site.back_up(&["--tenant", "shop"]);

    let agent = site.run(&["agent"]).limit(Duration::from_secs(120)).spawn();
    let lsn = cluster.psql("shop", "create table t as select 1; select pg_current_wal_insert_lsn()");
    let sql = format!(
        "select coalesce(bool_or(usename = 'lifeboat' and flush_lsn >= '{lsn}'), false) from pg_stat_replication"
    );
    let begun = Instant::now();
    while cluster.psql("postgres", &sql) != "t" {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is stored: {}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(100));
    }
    agent.signal(Signal::TERM);
    agent.finish().exits(0);
}

#[test]
fn without_them_it_says_what_is_missing() {
    if !roles_are_for_this_major() {
        return;
    }
    let (cluster, site) = as_lifeboat();
    // neither the files nor the protocol: it is not even let in
    let refused = site.backup(&["--kind", "base"]).run().exits(13);
    assert!(words(&refused).contains("pg_read_all_settings"), "{refused}");
    assert!(words(&refused).contains("pg_hba.conf"), "{refused}");
    let mut site = site;
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "files");
    cluster.psql("postgres", "grant pg_read_all_settings, pg_read_all_stats to lifeboat");
    let refused = site.backup(&["--kind", "base"]).run().exits(6);
    let function = if cluster.major() < 15 { "pg_start_backup" } else { "pg_backup_start" };
    assert!(words(&refused).contains(&format!("permission denied for function {function}")), "{refused}");
    // all but the line of pg_hba.conf
    grant(&cluster, "postgres", "replication-grants.sql");
    let agent = site.run(&["agent"]).spawn();
    let begun = Instant::now();
    while !agent.stderr_so_far().contains("pg_hba.conf") {
        assert!(begun.elapsed() < Duration::from_secs(60), "never told: {}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(100));
    }
    agent.signal(Signal::TERM);
    agent.finish();
}
