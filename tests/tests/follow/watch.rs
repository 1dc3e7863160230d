//! Where the kernel does not tell of every file, a scan finds it.

use std::collections::BTreeSet;

use lifeboat_tests::program::bin_dir;
use lifeboat_tests::{Program, skip};
use rustix::process::Signal;

use crate::world::{World, end, wait_for};

/// More than inotify's queue holds (16,384), where each file in a folder that is watched takes two places.
const FILES: usize = 14_000;

#[test]
fn files_beyond_the_watch_limit_are_found_by_a_scan() {
    // In a user namespace of its own the limit is its own.
    let limit = "echo 40 > /proc/sys/user/max_inotify_watches";
    let enter = ["--user", "--map-root-user"];
    let root = Program::at("/usr/bin/unshare".into()).args(enter).args(["sh", "-ec", limit]).run();
    if root.code != Some(0) {
        skip!("no user namespaces here, in which the limit of watches could be lowered");
    }
    let world = World::start(1);
    // There, root is root over its own files only.
    let owner = format!("{}", rustix::process::geteuid().as_raw());
    Program::at("/bin/chown".into()).args(["-R", &owner]).arg(world.site.path("")).run().ok();
    let script = format!("{limit}; exec {} agent", bin_dir().join("lifeboat").display());
    let program = Program::at("/usr/bin/unshare".into()).args(enter).args(["sh", "-ec", &script]);
    let agent = world.following(program.cwd(world.site.path("")).limit(std::time::Duration::from_secs(600)));
    assert!(agent.stderr_so_far().contains("max_user_watches"), "{}", agent.stderr_so_far());
    let names: BTreeSet<String> =
        (0..20u8).map(|n| world.tenants[0].upload(&world.cluster, "unwatched", &[n, 1, 2, 3])).collect();
    world.wait_held(&names);
    end(agent);
}

#[test]
fn more_files_at_once_than_can_be_told_of_are_found_by_a_scan() {
    let world = World::start(1);
    let agent = world.following(world.agent());
    agent.signal(Signal::STOP);
    let store = world.tenants[0].filestore();
    let names: BTreeSet<String> =
        (0..FILES).map(|n| store.put(format!("one of very many: {n}").as_bytes())).collect();
    agent.signal(Signal::CONT);
    world.wait_held(&names);
    assert!(agent.stderr_so_far().contains("scanning"), "{}", agent.stderr_so_far());
    end(agent);
}

#[test]
fn a_renamed_tenant_is_followed_under_its_new_name() {
    let world = World::start(1);
    let t1 = &world.tenants[0];
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s"));
    world.cluster.psql("postgres", "alter database t1 rename to t1_new");
    std::fs::rename(t1.filestore().dir(), world.site.data_dir().join("filestore/t1_new")).unwrap();
    let renamed = lifeboat_tests::tenant::Tenant { name: "t1_new".into(), ..t1.clone() };
    let name = renamed.upload(&world.cluster, "new", b"after the renaming");
    world.wait_held(&BTreeSet::from([name]));
    // ... and again once its watches are those of the new name
    let name = renamed.upload(&world.cluster, "newer", b"and later");
    world.wait_held(&BTreeSet::from([name]));
    std::fs::remove_dir_all(renamed.filestore().dir()).unwrap();
    let last = lifeboat_tests::small_tenant(&world.cluster, &world.site.data_dir(), "t2", 2);
    let names: BTreeSet<String> = last.filestore().files().into_keys().collect();
    wait_for("a tenant after a dropped one is followed", || {
        crate::world::Repo::of(&world.site).held().is_superset(&names)
    });
    end(agent);
}
