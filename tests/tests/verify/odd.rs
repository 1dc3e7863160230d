//! What is no file in the place of one: nothing waits for it, nothing reads it, and verify names it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lifeboat_tests::Cluster;
use lifeboat_tests::site::Site;

use crate::{objects, those};

const LIMIT: Duration = Duration::from_secs(30);

fn put(kind: &str, path: &Path) {
    let made = |program: &str, args: &[&str]| {
        assert!(Command::new(program).arg(path).args(args).status().unwrap().success());
    };
    match kind {
        "FIFO" => made("mkfifo", &[]),
        "socket" => {
            let short = std::env::temp_dir().join(format!("lbb-{}", std::process::id())); // a socket takes no long path
            drop(UnixListener::bind(&short).unwrap());
            let moved = Command::new("mv").arg(&short).arg(path).status().unwrap();
            assert!(moved.success());
        }
        "symbolic link" => symlink("/dev/zero", path).unwrap(),
        "device" => made("mknod", &["c", "1", "5"]), // /dev/zero
        "directory" => fs::create_dir(path).unwrap(),
        _ => fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
    }
}

#[test]
fn nothing_hangs_and_everything_odd_is_named() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    lifeboat_tests::small_tenant(&cluster, &site.data_dir(), "shop", 2);
    site.back_up(&["--kind", "dump"]);
    site.back_up(&["--kind", "dump"]);
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    cluster.psql("postgres", "select pg_switch_wal()");
    let segment = site.path(&name);
    fs::copy(cluster.data_dir().join("pg_wal").join(&name), &segment).unwrap();
    site.run(&["wal", "push"]).arg(&segment).run().ok();
    let all = objects(&site.stored);
    let newest = |text: &str| those(&all, text).last().unwrap().to_path_buf();
    let mut places: Vec<PathBuf> =
        ["/manifest.json", "/manifest.json.sig", "/packs/000000", "/wal/0"].map(newest).to_vec();
    // All: only that of the newest dump is read for a plan, and names of the same second are in no order.
    places.extend(those(&all, "/index.zst.age").iter().map(|place| place.to_path_buf()));
    let beside: Vec<PathBuf> =
        ["instances/prod/x", "instances/prod/snapshots/x", "instances/prod/wal/x", "x"]
            .map(|name| site.stored.join(name))
            .to_vec();
    let as_root = rustix::process::geteuid().is_root();
    for kind in ["FIFO", "socket", "symbolic link", "device", "directory", "giant"] {
        if kind == "device" && !as_root {
            continue;
        }
        for (place, instead) in places.iter().map(|p| (p, true)).chain(beside.iter().map(|p| (p, false))) {
            let aside = site.path("aside");
            if instead {
                fs::rename(place, &aside).unwrap();
            }
            put(kind, place);
            let key = place.strip_prefix(&site.stored).unwrap().to_str().unwrap();
            let case = format!("{kind} at {key}");
            for command in [
                &["list"][..],
                &["status"],
                &["wal", "status", "--offline"],
                &[
                    "restore",
                    "--tenant",
                    "shop",
                    "--as",
                    "copy",
                    "--dry-run",
                    "--identity",
                    "lifeboat-identity.txt",
                ],
            ] {
                let outcome = site.run(command).limit(LIMIT).run();
                assert!(outcome.code.is_some(), "{case}: {command:?} was stopped: {outcome}");
            }
            let verified = site.run(&["verify", "--no-progress"]).limit(LIMIT).run();
            // a directory is no object, as in a bucket: without its manifest a snapshot is unfinished, and an
            // empty one elsewhere is nothing
            let id = place.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let told = match (kind, instead) {
                ("directory", true) if key.contains("/wal/") => true, // it is missing: a gap
                ("directory", true) => [key, id].iter().any(|word| verified.stdout.contains(word)),
                ("directory", false) => true,
                _ => place.parent() == Some(&site.stored) || verified.stdout.contains(key),
            };
            assert!(told, "{case}: {verified}");
            let has_name = !matches!(kind, "directory" | "giant");
            assert!(!instead || !has_name || verified.stdout.contains(kind), "{case}: {verified}");
            match kind {
                "directory" => fs::remove_dir(place).unwrap(),
                _ => fs::remove_file(place).unwrap(),
            }
            if instead {
                fs::rename(&aside, place).unwrap();
            }
        }
    }
    site.run(&["verify", "--no-progress"]).run().ok();
    // where the lease belongs
    let lease = site.stored.join("instances/prod/lease");
    fs::remove_file(&lease).unwrap();
    put("FIFO", &lease);
    site.backup(&["--kind", "dump"]).limit(LIMIT).run().exits(10).says("the lease must be stored there");
}
