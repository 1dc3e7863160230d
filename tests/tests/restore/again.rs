//! The same command again, whatever the last one left: a subscription, a slot, a prepared transaction, a
//! role.

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, small_tenant};

use crate::restore;

#[test]
fn a_half_made_database_never_stands_in_the_way() {
    let settings = [("wal_level", "logical"), ("max_prepared_transactions", "5")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 71);
    cluster.psql("postgres", "create database feed");
    cluster.psql("feed", "create table price (id int primary key); create publication p for table price");
    cluster.psql("feed", "select pg_create_logical_replication_slot('s', 'pgoutput')");
    let dsn = format!("host={} port={} dbname=feed user=postgres", cluster.host(), cluster.port());
    cluster.psql("shop", "create table price (id int primary key)");
    cluster.psql(
        "shop",
        &format!("create subscription s connection '{dsn}' publication p with (create_slot = false, slot_name = 's')"),
    );
    // It fails when all of this is in it.
    cluster.psql(
        "shop",
        "create function public.listen() returns event_trigger language plpgsql as 'begin end'; \
         create event trigger ears on ddl_command_end execute function public.listen(); \
         create extension unaccent; create function public.zz(text) returns text language sql immutable as 'select unaccent($1)'; \
         create index zv on res_partner (public.zz(name))",
    );
    site.back_up(&[]);
    let args = ["--tenant", "shop", "--as", "two", "--load-as-superuser"];
    restore(&site, &args).run().exits(13);
    let half = "two__lifeboat_incomplete";
    assert_eq!(cluster.psql(half, "select count(*) from pg_subscription s join pg_database d on d.oid = subdbid and datname = current_database()"), "1");
    cluster.psql(half, "select pg_create_logical_replication_slot('left', 'test_decoding')");
    cluster.psql(half, "begin; lock table res_partner; prepare transaction 'forgotten'");
    let again = restore(&site, &args).run().exits(13);
    assert!(words(&again).contains("pg_restore"), "it came as far as before: {again}");
    let slots = "select string_agg(slot_name, ' ' order by 1) from pg_replication_slots";
    assert_eq!(cluster.psql("postgres", slots), "s", "the publisher's own is untouched");
    // Without what a superuser makes, and with the rest.
    restore(&site, &["--tenant", "shop", "--as", "two", "--partial"]).run().exits(3);
}
