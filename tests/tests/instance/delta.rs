//! `--delta`: over an old data directory of the same cluster, which is kept.

use std::path::{Path, PathBuf};

use lifeboat_tests::site::words;
use lifeboat_tests::{Cluster, Program};
use serde_json::Value;

use crate::archiving::{Archiving, DIGEST, Truth, hand_over, wait_until};
use crate::copy::Copied;

/// Enough that fetching all of it shows.
const LARGE: &str = "create table large as select g as id, md5(g::text) || md5((g * 7)::text) as v from generate_series(1, 400000) g";

/// The data directory of a cluster that is stopped, as a copy that may be replaced.
fn old_copy(cluster: &Cluster, copied: &Copied) {
    Program::at("/bin/cp".into()).arg("-a").arg(cluster.data_dir()).arg(copied.data_dir()).run().ok();
}

fn restore_over(archiving: &Archiving, copied: &Copied, args: &[&str]) -> Program {
    let dir = copied.data_dir().to_owned();
    archiving.restore_to(&dir, args).args(["--delta", "--yes-replace"]).arg(dir)
}

/// What lies beside the data directory that a restore made.
fn beside(copied: &Copied) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(copied.data_dir().parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(".lifeboat-")).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn ledger_of(archiving: &Archiving, copied: &Copied) -> String {
    let own = copied.data_dir().parent().unwrap().to_owned();
    if copied.socket() != own {
        std::fs::remove_dir_all(copied.socket()).unwrap(); // made by `restore --start`
        copied.started(&archiving.cluster, own.to_str().unwrap());
    }
    copied.start(&archiving.cluster);
    wait_until("it is open", || copied.psql("postgres", "select pg_is_in_recovery()") == "f");
    let ledger = copied.psql("shop", DIGEST);
    copied.stop();
    ledger
}

/// A base backup, WAL behind it, and the state of the stopped cluster after an accident.
fn after_an_accident(copied: &Copied) -> (Archiving, Truth, String) {
    let archiving = Archiving::start(None);
    archiving.cluster.psql("shop", LARGE);
    archiving.base();
    let before = archiving.step();
    archiving.cluster.psql("shop", "delete from ledger where n % 2 = 0");
    archiving.archive();
    let spoiled = archiving.cluster.psql("shop", DIGEST);
    archiving.cluster.stop();
    old_copy(&archiving.cluster, copied);
    (archiving, before, spoiled)
}

#[test]
fn little_is_fetched_the_old_state_is_kept_and_the_undo_works_as_printed() {
    let copied = Copied::new();
    let (archiving, before, spoiled) = after_an_accident(&copied);
    let running = archiving.restore_to(copied.data_dir(), &["--to-lsn", &before.lsn, "--delta"]);
    running.run().exits(16).says("--yes is not enough");
    let other = archiving.restore_to(copied.data_dir(), &["--delta", "--yes-replace", "/elsewhere"]);
    other.run().exits(16).says("is not");
    assert!(beside(&copied).is_empty());

    let done = restore_over(&archiving, &copied, &["--to-lsn", &before.lsn, "--start"]).run();
    assert!(done.code == Some(0), "{done}\n{}", copied.log());
    assert!(done.stderr.contains("REPLACES") && done.stderr.contains("its current state in"), "{done}");
    let report = done.json();
    let (restored, plan) = (&report["restored"], &report["restored"]["plan"]);
    let (fetched, all) = (number(&restored["fetched_bytes"]), number(&plan["fetch_bytes"]));
    let (same, bytes) = (number(&restored["copied_bytes"]), number(&plan["bytes"]));
    println!("fetched {fetched} of {all}; {same} of {bytes} were there");
    assert!(fetched * 4 < all, "fetched {fetched} of {all}");
    assert!(same * 10 > bytes * 6, "{same} of {bytes} were there");
    copied.started(&archiving.cluster, report["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(copied.psql("shop", DIGEST), before.ledger);
    assert_eq!(copied.psql("shop", "select count(*) from large"), "400000");
    copied.amcheck("shop");
    copied.stop();
    assert!(!copied.data_dir().join("lifeboat-restore.json").exists());

    let old = beside(&copied);
    assert_eq!(old.len(), 1, "{old:?}");
    let undo = restored["undo"].as_str().unwrap();
    Program::at("/bin/sh".into()).args(["-c", undo]).run().ok();
    assert!(beside(&copied).is_empty());
    assert_eq!(ledger_of(&archiving, &copied), spoiled);
}

#[test]
fn killed_in_the_middle_the_old_one_still_starts_and_the_same_command_goes_on() {
    let copied = Copied::new();
    let (archiving, before, spoiled) = after_an_accident(&copied);
    let over = restore_over(&archiving, &copied, &["--to-lsn", &before.lsn]);
    let running = over.clone().spawn();
    wait_until("files appear", || {
        beside(&copied).iter().any(|dir| dir.join("base/1").exists() && dir.join("PG_VERSION").exists())
    });
    running.kill9();
    let left = beside(&copied);
    assert!(!left[0].join("global/pg_control").exists(), "a server would start on half an instance");
    assert_eq!(ledger_of(&archiving, &copied), spoiled);
    // what it wrote since is not in the way
    let report = over.run().ok().json();
    assert_eq!(report["restored"]["plan"]["goes_on"], true);
    assert_eq!(beside(&copied), left, "it went on in the same place");
    assert_eq!(ledger_of(&archiving, &copied), before.ledger);

    // killed after the exchange, before the marker went
    let dir = copied.data_dir();
    let marker = dir.join("lifeboat-restore.json");
    let (name, old) = (dir.display(), left[0].display());
    // what it was told of recovery tells one restore from another
    let lines = std::fs::read_to_string(dir.join("postgresql.conf")).unwrap();
    let (_, settings) = lines.split_at(lines.find("restore_command").unwrap());
    let settings = &settings[..settings.find("listen_addresses").unwrap()];
    let said = serde_json::json!({
        "snapshot": report["restored"]["plan"]["snapshot"], "note": "",
        "replaces": { "dir": name.to_string(), "old_state": old.to_string(), "settings": settings },
    });
    std::fs::write(&marker, said.to_string()).unwrap();
    let report = restore_over(&archiving, &copied, &["--to-lsn", &before.lsn]).run().ok().json();
    assert_eq!(report["restored"]["fetched_bytes"], 0);
    assert!(!marker.exists() && beside(&copied) == left);
    assert_eq!(report["restored"]["plan"]["replaced"]["is_done"], true);
}

#[test]
fn another_cluster_another_version_and_a_running_server_are_refused() {
    let archiving = Archiving::start(None);
    archiving.base();
    archiving.step();
    archiving.archive();
    let over = |dir: &Path| archiving.restore_to(dir, &["--delta", "--yes-replace"]).arg(dir);
    let running = archiving.cluster.data_dir();
    over(&running).run().exits(16).says("a server runs in");
    // its control file says nothing of whether it runs, and the number may be another's by now
    archiving.cluster.stop();
    let pid = running.join("postmaster.pid");
    std::fs::write(&pid, format!("{}\n", std::process::id())).unwrap();
    over(&running).run().exits(16).says("remove that file");
    std::fs::write(&pid, "999999999\n").unwrap();
    over(&running).arg("--dry-run").run().ok();

    let foreign = Cluster::start_default();
    foreign.stop();
    over(&foreign.data_dir()).run().exits(16).says("belongs to another cluster");
    std::fs::write(running.join("PG_VERSION"), "12\n").unwrap();
    over(&running).run().exits(16).says("is of PostgreSQL 12");
    let empty = Copied::new();
    over(empty.data_dir()).run().exits(16).says("needs an old data directory");
    std::fs::create_dir(empty.data_dir()).unwrap();
    over(empty.data_dir()).run().exits(16).says("missing or damaged");
    let without = archiving.restore_to(&foreign.data_dir(), &[]).run().exits(16);
    assert!(words(&without).contains("--delta"), "{without}");
    for dir in [&running, &foreign.data_dir()] {
        let entries = std::fs::read_dir(dir.parent().unwrap()).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(!names.any(|name| name.contains(".lifeboat-")));
    }
}

#[test]
fn tablespaces_get_a_place_beside_the_old_ones() {
    let archiving = Archiving::start(None);
    let cluster = &archiving.cluster;
    let outside = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    let north = outside.path().join("north");
    std::fs::create_dir(&north).unwrap();
    hand_over(outside.path());
    cluster.psql("postgres", &format!("create tablespace north location '{}'", north.display()));
    cluster.psql("postgres", "create table far tablespace north as select generate_series(1, 1000) n");
    archiving.base();
    cluster.psql("postgres", "insert into far select generate_series(1, 10)");
    archiving.archive();
    cluster.stop();
    let copied = Copied::new();
    old_copy(cluster, &copied);
    let report = restore_over(&archiving, &copied, &[]).run().ok().json();
    let to = report["restored"]["plan"]["tablespaces"][0]["location"].as_str().unwrap().to_owned();
    assert!(to.starts_with(&format!("{}_2", north.display())), "{to}");
    copied.start(cluster);
    assert_eq!(copied.psql("postgres", "select count(*) from far"), "1010");
    wait_until("it is open", || copied.psql("postgres", "select pg_is_in_recovery()") == "f");
    copied.psql("postgres", "insert into far select generate_series(1, 5)");
    copied.stop();
    // the old state has its own files still
    let undo = report["restored"]["undo"].as_str().unwrap();
    Program::at("/bin/sh".into()).args(["-c", undo]).run().ok();
    copied.start(cluster);
    assert_eq!(copied.psql("postgres", "select count(*) from far"), "1010");
    let place = copied
        .psql("postgres", "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'north'");
    assert_eq!(place, north.display().to_string());
}
