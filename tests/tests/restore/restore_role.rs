//! Restores by roles that are no superusers: the role that deploy/postgresql ships, with exactly its rights,
//! and one as a managed server's master user has them.

use std::path::Path;

use lifeboat_tests::compare::assert_same_database;
use lifeboat_tests::installed::available_majors;
use lifeboat_tests::program::workspace_root;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Program, small_tenant};

use crate::own_role::loaders;
use crate::{databases, restore};

const ODOO: &str = "select string_agg(distinct pg_get_userbyid(relowner)::text, ',') from pg_class c \
                    join pg_namespace n on n.oid = relnamespace where nspname = 'public'";

/// A tenant of an owner without rights, whose row security is forced on him and whose tables refer to each
/// other.
fn tenant(cluster: &Cluster, data_dir: &Path) {
    small_tenant(cluster, data_dir, "shop", 81);
    cluster.psql(
        "postgres",
        "create role odoo login createdb; create role reader; alter database shop owner to odoo",
    );
    let all = "select string_agg(format('alter table public.%I owner to odoo;', relname), ' ' order by relkind = 'S') from pg_class \
               where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'p', 'S')";
    let all = cluster.psql("shop", all);
    cluster.psql(
        "shop",
        &format!(
            "{all} alter function x_margin owner to odoo; alter function x_touch_write_date owner to odoo; \
             create extension if not exists pg_trgm; \
             set role odoo; create schema stock; create table stock.place (id int primary key, at int references stock.place); \
             insert into stock.place values (1, 1), (2, 1); create table stock.bin (id int references stock.place); \
             insert into stock.bin values (1), (2); create view stock.seen as select * from stock.bin; \
             create materialized view stock.counted as select count(*) from stock.place; \
             alter table stock.place enable row level security; alter table stock.place force row level security; \
             create policy none on stock.place using (false); \
             grant select on stock.bin to reader; create publication few for table stock.bin; \
             create index on public.res_partner using gin (name gin_trgm_ops)"
        ),
    );
}

fn restored(site: &Site, user: &str, args: &[&str]) -> Program {
    restore(site, &["--tenant", "shop"]).args(args.to_vec()).env("LIFEBOAT_POSTGRES_USER", user)
}

#[track_caller]
fn assert_whole(cluster: &Cluster, copy: &str) {
    assert_same_database((cluster, "shop"), (cluster, copy));
    assert_eq!(cluster.psql(copy, ODOO), "odoo");
    let owner = format!("select pg_get_userbyid(datdba) from pg_database where datname = '{copy}'");
    assert_eq!(cluster.psql("postgres", &owner), "odoo");
    assert_eq!(cluster.psql(copy, "select has_table_privilege('reader', 'stock.bin', 'SELECT')"), "t");
    let forced = "select relforcerowsecurity and relrowsecurity from pg_class where relname = 'place'";
    assert_eq!(cluster.psql(copy, forced), "t");
    assert_eq!(cluster.psql(copy, "select count(*) from stock.place"), "2");
    assert_eq!(cluster.psql(copy, "select count from stock.counted"), "2");
    assert_eq!(loaders(cluster), "");
    let to_us = "select count(*) from pg_shdepend d join pg_roles r on r.oid = refobjid and refclassid = 'pg_authid'::regclass \
                 where rolname ~ '^lifeboat_load' or deptype = 'o' and rolname in ('lifeboat_restore', 'master', 'plain') \
                   and classid = 'pg_class'::regclass";
    assert_eq!(cluster.psql("postgres", to_us), "0");
}

#[test]
fn the_shipped_role_restores_on_every_major_with_exactly_its_rights() {
    for major in available_majors() {
        println!("PostgreSQL {major}");
        let cluster = Cluster::start(major);
        let site = Site::local(&cluster);
        tenant(&cluster, &site.data_dir());
        site.back_up(&[]);
        let sql =
            std::fs::read_to_string(workspace_root().join("deploy/postgresql/restore-role.sql")).unwrap();
        for _ in 0..2 {
            cluster.psql("postgres", &format!("\\set owner odoo\n{sql}"));
        }
        let done = restored(&site, "lifeboat_restore", &["--as", "copy", "--no-neutralize", "--json"])
            .run()
            .ok()
            .json();
        let loads = if major >= 16 { "own-role" } else { "configured-role" };
        assert_eq!(done["plan"]["loads"], loads);
        assert_whole(&cluster, "copy");
        restored(&site, "lifeboat_restore", &["--as", "silent"]).run().ok();
        restored(&site, "lifeboat_restore", &["--as", "given", "--owner", "odoo"]).run().ok();
        assert_eq!(cluster.psql("given", ODOO), "odoo");
    }
}

#[test]
fn a_master_user_with_createrole_makes_a_role_for_the_load_on_every_major() {
    for major in available_majors() {
        println!("PostgreSQL {major}");
        let cluster = Cluster::start(major);
        let site = Site::local(&cluster);
        tenant(&cluster, &site.data_dir());
        site.back_up(&[]);
        cluster.psql(
            "postgres",
            "create role master login createdb createrole; grant pg_monitor, pg_signal_backend to master",
        );
        let args = ["--as", "copy", "--no-neutralize"];
        let before = databases(&cluster);
        let told = restored(&site, "master", &args).arg("--dry-run").run().exits(16);
        assert!(words(&told).contains("GRANT \"odoo\" TO \"master\""), "{told}");
        assert_eq!(databases(&cluster), before);
        let options = if major >= 16 { " with inherit true, set true" } else { "" };
        cluster.psql("postgres", &format!("grant odoo to master{options}"));
        let done = restored(&site, "master", &args).arg("--json").run().ok().json();
        assert_eq!(done["plan"]["loads"], "own-role");
        assert_whole(&cluster, "copy");
        // A killed one's role goes with the next restore.
        cluster.psql(
            "postgres",
            &format!(
                "set session authorization master; create role lifeboat_load_0123456789ab login; \
                 comment on role lifeboat_load_0123456789ab is '{{\"lifeboat_loads\": \"x\"}}'; \
                 grant lifeboat_load_0123456789ab to master{options}"
            ),
        );
        restored(&site, "master", &["--as", "next"]).run().ok();
        assert_eq!(loaders(&cluster), "");
    }
}

#[test]
fn what_a_role_that_is_no_superuser_cannot_do_is_told_with_its_mend() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    tenant(&cluster, &site.data_dir());
    cluster.psql("shop", "create extension pg_stat_statements");
    site.back_up(&[]);
    cluster.psql(
        "postgres",
        "create role plain login; create role monitor login createdb in role odoo, pg_monitor",
    );
    let plan = |user: &str| restored(&site, user, &["--as", "copy", "--dry-run"]).run();
    let told = plan("plain").exits(16);
    for said in [
        "ALTER ROLE \"plain\" CREATEDB",
        "GRANT \"odoo\" TO \"plain\"",
        "role plain may not create extension pg_stat_statements",
    ] {
        assert!(words(&told).contains(said), "{said}: {told}");
    }
    let told = plan("monitor").exits(16);
    assert!(words(&told).contains("ALTER ROLE monitor CREATEROLE"), "{told}");
    cluster.psql("postgres", "alter role plain createdb; grant odoo to plain");
    let left = restored(&site, "plain", &["--as", "copy", "--no-neutralize", "--partial"]).run().exits(3);
    assert!(words(&left).contains("EXTENSION pg_stat_statements"), "{left}");
    assert_eq!(cluster.psql("copy", ODOO), "odoo");
}
