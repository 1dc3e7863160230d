//! Doctor green means that pg_dump can dump: what the role lacks is named with the SQL that mends it.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

/// Objects that the role may not read yet: the SQL that makes them, and what doctor says of each.
const OBJECTS: [(&str, &str); 6] = [
    (
        "create schema hidden; create table hidden.t (id int)",
        "GRANT USAGE ON SCHEMA \"hidden\" TO \"backup\"",
    ),
    ("create table secret (id int)", "GRANT SELECT ON TABLE "),
    ("create sequence counter", "GRANT SELECT ON SEQUENCE \"public\".\"counter\" TO \"backup\""),
    ("select lo_from_bytea(4711, 'x')", "GRANT SELECT ON LARGE OBJECT 4711 TO \"backup\""),
    (
        "create table ours (id int); grant select on ours to backup; alter table ours enable row level security",
        "ALTER ROLE \"backup\" BYPASSRLS",
    ),
    (
        "create table parts (id int) partition by range (id); create table part1 partition of parts default",
        "part",
    ),
];

#[test]
fn what_pg_dump_needs_is_named_with_its_grant_and_green_after_it() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 11);
    cluster.psql("acme", "create role backup login; grant usage on schema public to backup");
    cluster.psql("acme", "grant select on all tables in schema public to backup");
    cluster.psql("acme", "grant select on all sequences in schema public to backup");
    site.edit("user = \"postgres\"", "user = \"backup\"");
    let fails = || {
        let report = site.run(&["doctor", "--json"]).run().json();
        let checks = report["checks"].as_array().unwrap().iter();
        let of_tenant = checks.filter(|check| check["name"] == "tenant" && check["status"] == "fail");
        of_tenant.map(|check| check["next"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(fails(), [] as [String; 0]);
    for (sql, _) in OBJECTS {
        cluster.psql("acme", sql);
    }
    let told = fails();
    for (sql, grant) in OBJECTS {
        assert!(told.iter().any(|next| next.contains(grant)), "{sql}: {grant} is not in {told:?}");
    }
    assert_ne!(site.backup(&[]).run().code, Some(0), "doctor is right, it would have failed");
    for next in told {
        cluster.psql("acme", next.strip_suffix(" in acme").unwrap());
    }
    assert_eq!(fails(), [] as [String; 0]);
    site.back_up(&[]);
    let warned = super::doctor(&site);
    assert!(!warned.contains("is incomplete"), "{warned}");
    cluster.psql("acme", "create subscription s connection 'dbname=x' publication p with (connect = false)");
    let warned = super::doctor(&site);
    assert!(warned.contains("1 subscriptions are not dumped by it"), "{warned}");
}

#[test]
fn what_libpq_would_read_and_nobody_does_is_named() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 11);
    site.set("PGOPTIONS", "-c search_path=evil -c statement_timeout=1");
    site.set("PGSSLCERT", "/nonexistent/cert");
    site.set("PGSERVICE", "nowhere");
    let told = super::doctor(&site);
    assert!(
        told.contains("PGOPTIONS, PGSERVICE, PGSSLCERT: set for libpq, but no connection of Lifeboat"),
        "{told}"
    );
    assert!(told.contains("postgres.tls_cert_file"), "{told}");
    site.back_up(&[]);
}
