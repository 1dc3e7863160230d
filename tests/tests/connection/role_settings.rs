//! What was set for a role or a database changes no connection of ours: sessions, pg_dump, a parallel
//! pg_restore, replication.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, available_majors, small_tenant};

use super::restore;

/// Each would break a long job, or make it do something else.
const SETTINGS: [&str; 15] = [
    "statement_timeout = '20ms'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '20ms'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = 'serializable'",
    "role = 'nobody'",
    "search_path = 'evil'",
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'sql_standard'",
    "standard_conforming_strings = off",
    "quote_all_identifiers = on",
    "transform_null_equals = on",
    "array_nulls = off",
    "extra_float_digits = 0",
    "client_encoding = 'LATIN1'", // what is not in it could not be dumped
];
/// Since when there are those that not every major has; a session sets them once it knows the server's.
const NEWER: [(u32, &str); 2] =
    [(14, "idle_session_timeout = '300ms'"), (17, "transaction_timeout = '300ms'")];

#[test]
fn settings_of_roles_and_databases_break_and_change_nothing() {
    for major in available_majors() {
        let cluster = Cluster::start(major);
        let site = Site::local(&cluster);
        small_tenant(&cluster, &site.data_dir(), "acme", 9);
        cluster.psql(
            "acme",
            "create table odd (id serial primary key, s interval, a text[], d timestamp); \
             insert into odd (s, a, d) values ('-1 day -2 hours', '{NULL,a}', '2026-03-04 05:06:07'); \
             insert into odd (a) values ('{Łódź – ₺}'); comment on table odd is '名前'; \
             create schema evil",
        );
        cluster.psql("postgres", "create role nobody; create role \"Ł\"; create role backup login superuser");
        let newer = NEWER.iter().filter(|(first, _)| *first <= major).map(|(_, setting)| *setting);
        for setting in SETTINGS.into_iter().chain(newer) {
            cluster.psql("postgres", &format!("alter role backup set {setting}"));
            cluster.psql("postgres", &format!("alter role backup in database acme set {setting}"));
        }
        site.edit("user = \"postgres\"", "user = \"backup\"");
        site.edit("# jobs = 2", "jobs = 4");
        let before = cluster.psql("acme", "select * from odd");
        let troubles = super::doctor(&site);
        assert!(!troubles.contains("\"tenant"), "{major}: {troubles}");
        site.back_up(&[]);
        site.backup(&["--kind", "base"]).env("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol").run().ok();
        restore(&site, &["--tenant", "acme", "--as", "copy"]).run().ok();
        assert_eq!(cluster.psql("copy", "select * from odd"), before, "{major}");
    }
}
