//! PostgreSQL that restarts or fails over while a checkpoint is made.

use std::fs;
use std::path::Path;

use lifeboat_tests::compare::assert_same;
use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::tenant::state;
use lifeboat_tests::{Running, S3};

use super::session::Open;
use super::transactions::rows;
use super::{passes_once, through};
use crate::world::{TIERS, World, found, until};

/// A checkpoint that has made its point and waits for the WAL, because nobody streams: it asks the store for
/// nothing else.
fn waiting(world: &mut World, door: &S3, release: &str) -> Running {
    world.kill_agent();
    door.faults().clear_log();
    let waits = through(world, door, release, &["--json", "--timeout", "100s"]).spawn();
    until("it waits for WAL", || door.faults().count("GET", "prod%2Fwal%2F0000000") > 3);
    waits
}

#[test]
fn a_server_that_restarts_before_the_point_or_after_it_fools_nobody() {
    let mut world = World::on_s3(&["shop"], TIERS, &[]);
    let door = world.door();
    // Not there at all.
    world.cluster.stop();
    let outcome = world.checkpoint("r1", &[]).run();
    assert!(![Some(0), Some(19)].contains(&outcome.code), "{outcome}");
    outcome.says("cannot connect");
    world.cluster.start_again();
    world.streams();

    // While the tenant is looked at, which waits for somebody's lock.
    let mut locks = Open::new(&world.cluster, "shop");
    locks.run("begin; lock table ir_module_module in access exclusive mode");
    let looks = world.checkpoint("r1", &["--json"]).spawn();
    let waits = "select count(*) from pg_locks where not granted";
    until("it waits for the lock", || world.cluster.psql("shop", waits) == "1");
    world.cluster.restart();
    let outcome = looks.finish();
    assert!(![Some(0), None].contains(&outcome.code), "{outcome}");
    assert!(!super::has_evidence(&world, "r1"));
    drop(locks);
    world.streams();
    passes_once(&world, "r1", "a restart before the point");

    // While it waits for WAL: the point is on disk, whether the server stops or crashes.
    for (release, crash) in [("r2", false), ("r3", true)] {
        let waits = waiting(&mut world, &door, release);
        match crash {
            true => world.cluster.kill9(),
            false => world.cluster.stop(),
        }
        world.cluster.start_again();
        world.start_agent();
        let report = waits.finish().ok().json();
        assert!(found(&report, "wal").contains("stored up to"), "{}", found(&report, "wal"));
        assert!(found(&report, "agent").contains("streams"), "{}", found(&report, "agent"));
        passes_once(&world, release, "a restart after the point");
    }
    let identity = world.site.path("lifeboat-identity.txt");
    let restore = ["restore", "--tenant", "shop", "--release", "r3", "--as", "back", "--yes"];
    world.site.run(&restore).arg("--identity").arg(identity).run().ok();
}

#[test]
fn a_point_on_a_timeline_that_ended_does_not_pass() {
    let mut world = World::on_s3(&["shop"], TIERS, &[]);
    let door = world.door();
    // A standby that has everything is promoted.
    let waits = waiting(&mut world, &door, "r1");
    world.promote();
    world.start_agent();
    let outcome = waits.finish().exits(19);
    let report = outcome.json();
    assert!(found(&report, "wal").contains("the server left timeline 1"), "{}", found(&report, "wal"));
    assert!(found(&report, "wal").contains("is now on timeline 2"), "{}", found(&report, "wal"));
    let report = passes_once(&world, "r1", "a promotion");
    assert_eq!(report["checkpoint"]["point"]["timeline"], 2);

    // One that does not have the point: the old server dies, and this one gets its address.
    let standby = world.site.path("standby");
    world.cluster.run("pg_basebackup", &["-D", standby.to_str().unwrap(), "--checkpoint=fast", "--no-sync"]);
    world.cluster.psql("shop", "update res_partner set name = 'never on the standby'");
    let waits = waiting(&mut world, &door, "r2");
    take_over(&world, &standby);
    world.start_agent();
    let report = waits.finish().exits(19).json();
    assert!(found(&report, "wal").contains("the server left timeline 2"), "{}", found(&report, "wal"));
    // It had no slot: where WAL of the new timeline is missing, nothing leads from the old base backup to a
    // point.
    let outcome = world.checkpoint("r2", &["--json"]).run();
    if outcome.code != Some(0) {
        let chain = found(&outcome.json(), "chain");
        assert!(chain.contains("cannot be reached"), "{chain}");
        world.site.back_up(&["--kind", "base"]);
    }
    let before = world.tenants[0].state(&world.cluster);
    let report = passes_once(&world, "r2", "a failover to a standby without the point");
    assert_eq!(report["checkpoint"]["point"]["timeline"], 3);
    let identity = world.site.path("lifeboat-identity.txt");
    let restore = ["restore", "--tenant", "shop", "--release", "r2", "--as", "back", "--yes"];
    world.site.run(&restore).arg("--no-neutralize").arg("--identity").arg(identity).run().ok();
    let files = Filestore::of(&world.site.data_dir(), "back");
    let back = state(&world.cluster, "back", &files);
    assert_same("the database", &rows(&back), &rows(&before));
    assert_eq!(back.files, before.files);
}

/// The server dies, and a standby takes its place, its address, and goes on.
fn take_over(world: &World, standby: &Path) {
    world.cluster.kill9();
    let data = world.cluster.data_dir();
    let old = data.with_file_name("old");
    fs::rename(&data, &old).unwrap();
    fs::rename(standby, &data).unwrap();
    super::own_as(&data, &old);
    fs::write(data.join("standby.signal"), "").unwrap();
    super::own_as(&data.join("standby.signal"), &old);
    world.cluster.start_again();
    world.cluster.psql("postgres", "select pg_promote()");
    until("the server is open", || world.cluster.psql("postgres", "select pg_is_in_recovery()") == "f");
}
