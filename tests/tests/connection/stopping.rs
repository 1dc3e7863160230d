//! What is given up is cancelled in the server.

use std::time::Instant;

use lifeboat_tests::children::HANGS;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use rustix::process::Signal;

use super::{Holder, until};

/// Sessions of ours that are still at something.
const NOBODY: &str = "select not exists (select from pg_stat_activity where application_name = 'lifeboat' and state = 'active')";
const WAITING: &str = "select exists (select from pg_stat_activity where application_name = 'lifeboat' \
                       and wait_event_type = 'Lock')";

#[test]
fn a_command_that_is_stopped_leaves_nothing_running_in_the_server() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 5);
    let held = Holder::begin(&cluster, "acme", "lock table ir_module_module in access exclusive mode");
    for args in [&["doctor"][..], &["backup"]] {
        let running = site.run(args).spawn();
        until(&cluster, WAITING);
        let begun = Instant::now();
        running.signal(Signal::TERM);
        running.finish().exits(18);
        assert!(begun.elapsed() < HANGS, "{args:?}: {:?}", begun.elapsed());
        until(&cluster, NOBODY);
        assert!(begun.elapsed() < HANGS, "{args:?}: {:?}", begun.elapsed());
    }
    drop(held);
}

/// The code of a tenant that is restored.
const ASLEEP: &str = "select exists (select from pg_stat_activity where wait_event = 'PgSleep')";
/// Nor is the role there that ran it.
const NO_ROLE: &str = "select not exists (select from pg_roles where rolname like 'lifeboat_load%') \
     and not exists (select from pg_stat_activity where wait_event = 'PgSleep')";

#[test]
fn a_restore_that_is_stopped_ends_at_once_and_leaves_no_role() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 5);
    cluster.psql(
        "acme",
        "create function slow(int) returns int immutable language plpgsql as $$ begin \
           if pg_catalog.current_database() <> 'acme' then perform pg_catalog.pg_sleep(3600); end if; \
           return $1; end $$; \
         create table slow (x int); insert into slow values (1); create index on slow (slow(x))",
    );
    site.back_up(&[]);
    let stopped = |when: &str| {
        let running = super::restore(&site, &["--tenant", "acme", "--as", "copy"]).spawn();
        until(&cluster, when);
        let begun = Instant::now();
        running.signal(Signal::TERM);
        running.finish().exits(18);
        assert!(begun.elapsed() < HANGS, "{when}: {:?}", begun.elapsed());
    };
    // a statement of ours waits: comments on databases say what an earlier try left
    let held = Holder::begin(&cluster, "postgres", "lock table pg_shdescription in access exclusive mode");
    stopped(WAITING);
    until(&cluster, NOBODY);
    drop(held);
    // the tenant's own code runs, as the role of the load
    stopped(ASLEEP);
    assert_eq!(cluster.psql("postgres", NO_ROLE), "t");
    assert_eq!(cluster.psql("postgres", "select count(*) from pg_database where datname = 'copy'"), "0");
}
