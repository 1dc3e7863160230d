//! Full and incremental base backups under load, laid out by stock tools and started.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifeboat_tests::damage;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, Program, Running};

use crate::contents::{bases, check_pages, index, lay_out, manifest, snapshots, text};
use crate::copy::Copied;

/// A table whose rows tell whether any is missing: `n` counts up without gaps.
pub fn ledger(cluster: &Cluster, database: &str) {
    cluster.create_db(database);
    cluster.psql(
        database,
        "create table ledger (n bigserial primary key, filler text default repeat('x', 200));
         create table big (id int primary key, v text);
         insert into big select g, repeat(md5(g::text), 20) from generate_series(1, 20000) g;
         create unlogged table scratch (x int); insert into scratch select generate_series(1, 1000);",
    );
}

/// Writes and rewrites until told to stop; how many rounds it made.
pub fn load(cluster: &Cluster, stop: &AtomicBool) -> u32 {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        cluster.psql("shop", "insert into ledger select from generate_series(1, 50); update big set v = md5(v) || v where id % 97 = 3");
        cluster.psql("shop", "vacuum full big");
        if rounds % 3 == 0 {
            // not of `shop`: a template that anybody is connected to is refused
            cluster.copy_db("template1", "fleeting", true).unwrap();
            cluster.psql("postgres", "drop database fleeting");
        }
        rounds += 1;
    }
    rounds
}

#[test]
fn a_full_one_under_load_starts_and_is_consistent() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let site = Site::local(&cluster);
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let writer = scope.spawn(|| load(&cluster, &stop));
        std::thread::sleep(Duration::from_millis(300));
        let report = site.back_up(&["--kind", "base"]);
        stop.store(true, Ordering::Relaxed);
        println!("{} rounds of load", writer.join().unwrap());
        report
    });
    let facts = &report["manifest"]["base"];
    assert_eq!(facts["bad_page_count"], 0);
    assert_eq!(facts["data_checksums"], true);
    assert_eq!(facts["chain"].as_array().unwrap().len(), 1);
    let id = report["manifest"]["id"].as_str().unwrap();
    let listed = index(&site, id);
    for never in ["postmaster.pid", "postmaster.opts", "pg_wal/archive_status"] {
        assert!(!listed.contains_key(never), "{never}");
    }
    let node = cluster.psql("shop", "select pg_relation_filepath('scratch')");
    assert!(!listed.contains_key(&node), "an unlogged relation is not copied");
    assert!(listed.contains_key(&format!("{node}_init")));
    let layout: serde_json::Value = serde_json::from_str(&text(&site, id, "cluster.zst.age")).unwrap();
    let shop =
        layout["databases"].as_array().unwrap().iter().find(|db| db["name"] == "shop").unwrap().clone();
    assert!(shop["bytes"].as_u64().unwrap() > 1 << 20, "{shop}");

    let copied = Copied::new();
    lay_out(&site, id, copied.data_dir());
    copied.start(&cluster);
    assert_eq!(copied.psql("shop", "select count(*) = max(n) and count(*) > 0 from ledger"), "t");
    assert_eq!(copied.psql("shop", "select count(*) from big"), "20000");
    assert_eq!(copied.psql("shop", "select count(*) from scratch"), "0");
    copied.amcheck("shop");
    copied.stop();
    check_pages(&cluster, copied.data_dir());
}

#[test]
fn incrementals_store_what_changed_and_any_of_them_is_whole() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_BACKUP_BASE_CHAIN_MAX", 3);
    let full = site.back_up(&["--kind", "base"]);
    let stored = |report: &serde_json::Value| report["manifest"]["plain_bytes"].as_u64().unwrap();
    let chain = |report: &serde_json::Value| report["manifest"]["base"]["chain"].as_array().unwrap().len();
    assert!(stored(&full) > 30 << 20);
    let unchanged = site.back_up(&["--kind", "base"]);
    assert_eq!(chain(&unchanged), 2);
    // its own WAL segment, control file and label, and a few blocks of statistics
    assert!(stored(&unchanged) < (16 << 20) + (1 << 20), "{}", stored(&unchanged));
    cluster.psql("shop", "update big set v = 'changed' where id between 500 and 600; insert into ledger select from generate_series(1, 9)");
    cluster.psql("shop", "drop table scratch");
    let changed = site.back_up(&["--kind", "base"]);
    assert_eq!(
        (chain(&changed), changed["manifest"]["parent"].clone()),
        (3, unchanged["manifest"]["id"].clone())
    );
    let copied = Copied::new();
    lay_out(&site, changed["manifest"]["id"].as_str().unwrap(), copied.data_dir());
    copied.start(&cluster);
    assert_eq!(copied.psql("shop", "select count(*) from big where v = 'changed'"), "101");
    assert_eq!(copied.psql("shop", "select max(n) from ledger"), "9");
    copied.amcheck("shop");
    copied.stop();
    check_pages(&cluster, copied.data_dir());
    drop(copied);
    // the middle one is still what it was
    let copied = Copied::new();
    lay_out(&site, unchanged["manifest"]["id"].as_str().unwrap(), copied.data_dir());
    copied.start(&cluster);
    assert_eq!(copied.psql("shop", "select count(*) from big where v = 'changed'"), "0");
    drop(copied);

    let bounded = site.back_up(&["--kind", "base"]);
    assert_eq!(chain(&bounded), 1);
    assert!(bounded["manifest"]["base"]["full_because"].as_str().unwrap().contains("base_chain_max"));
    let state = site.path("lifeboat-state/prod/base.known.zst");
    std::fs::remove_file(&state).unwrap();
    let lost = site.back_up(&["--kind", "base"]);
    assert!(lost["manifest"]["base"]["full_because"].as_str().unwrap().contains("state directory"));
    // in the middle; in the checksum at its end, which all of it is held against
    for place in [0.5, 1.0] {
        let bytes = std::fs::metadata(&state).unwrap().len() as f64;
        damage::flip_bit(&state, (bytes * 8.0 * place) as u64 - 1);
        let damaged = site.back_up(&["--kind", "base"]);
        let because = &damaged["manifest"]["base"]["full_because"];
        assert!(because.as_str().is_some_and(|why| why.contains("damaged")), "at {place}: {because}");
    }
    let asked = site.back_up(&["--kind", "base", "--full"]);
    assert_eq!(
        (chain(&asked), asked["manifest"]["base"]["full_because"].as_str()),
        (1, Some("a full backup was requested"))
    );
    site.run(&["verify"]).run().ok();
    let deep = ["verify", "--deep", "--identity", "lifeboat-identity.txt"];
    site.run(&deep).run().ok();
    let list = site.run(&["list", "--kind", "base"]).run().ok().stdout;
    assert!(list.contains("incremental, timeline 1, from ") && list.contains("full, timeline 1"), "{list}");
    site.run(&["show", unchanged["manifest"]["id"].as_str().unwrap()]).run().ok();
    // damage to the full one is damage to what builds upon it, and to nothing else
    let id = |report: &serde_json::Value| report["manifest"]["id"].as_str().unwrap().to_owned();
    let pack = snapshots(&site).join(id(&full)).join("packs/000000.tar.zst.age");
    damage::flip_bit(&pack, std::fs::metadata(&pack).unwrap().len() * 4);
    for args in [&["verify"][..], &deep] {
        let outcome = site.run(args).arg("--json").run().exits(10);
        let said = outcome.json().to_string();
        for lost in [&full, &unchanged, &changed] {
            assert!(said.contains(&id(lost)), "{} in {said}", id(lost));
        }
        assert!(!said.contains(&id(&asked)), "{said}");
    }
}

#[test]
fn a_flipped_page_is_named_and_the_backup_kept() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let path = cluster.psql("shop", "select pg_relation_filepath('big')");
    cluster.stop();
    damage::flip_bit(&cluster.data_dir().join(&path), (7 * 8192 + 5000) * 8);
    cluster.start_again();
    let site = Site::local(&cluster);
    let outcome = site.backup(&["--kind", "base", "--json"]).run().exits(3);
    let facts = outcome.json()["manifest"]["base"].clone();
    assert_eq!(facts["bad_page_count"], 1);
    assert_eq!(facts["bad_pages"], serde_json::json!([{ "path": path, "block": 7 }]));
    assert!(words(&outcome).contains(&format!("{path} block 7")), "{outcome}");
    let id = bases(&site).pop().unwrap();
    assert!(index(&site, &id)[&path]["flaw"].as_str().unwrap().contains("1 pages"));
    // it is still bad although nothing of it is stored again
    let again = site.backup(&["--kind", "base", "--json"]).run().exits(3).json();
    assert_eq!(again["manifest"]["base"]["bad_pages"], facts["bad_pages"]);
}

#[test]
fn a_killed_one_leaves_no_snapshot_and_no_backup_mode() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "4MiB/s");
    let running = site.backup(&["--kind", "base"]).spawn();
    let busy = "select count(*) from pg_replication_slots where slot_name like 'lifeboat_base%'";
    wait_until("the backup began", || cluster.psql("postgres", busy) == "1");
    running.kill9();
    wait_until("the slot went with the session", || cluster.psql("postgres", busy) == "0");
    assert!(bases(&site).is_empty());
    assert!(!cluster.data_dir().join("backup_label").exists());
    let mut site = site;
    site.set("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "unlimited");
    site.back_up(&["--kind", "base"]);
    assert_eq!(bases(&site).len(), 1);
}

#[test]
fn tablespaces_are_copied_once_wherever_they_lie() {
    let cluster = Cluster::with(Options::default());
    let outside = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    let inside = cluster.data_dir().join("odd_place");
    for dir in [outside.path(), &inside] {
        std::fs::create_dir_all(dir).unwrap();
        Program::at("/bin/chown".into()).arg("postgres:postgres").arg(dir).run();
    }
    for (name, dir) in [("north", outside.path()), ("south", inside.as_path())] {
        cluster.psql("postgres", &format!("create tablespace {name} location '{}'", dir.display()));
        cluster.psql(
            "postgres",
            &format!("create table t_{name} tablespace {name} as select generate_series(1, 1000) n"),
        );
    }
    let site = Site::local(&cluster);
    let report = site.back_up(&["--kind", "base"]);
    let id = report["manifest"]["id"].as_str().unwrap();
    let named = report["manifest"]["base"]["tablespaces"].as_array().unwrap().clone();
    assert_eq!(named.iter().map(|t| t["name"].as_str().unwrap()).collect::<Vec<_>>(), ["north", "south"]);
    let listed = index(&site, id);
    for name in ["north", "south"] {
        let path = cluster.psql("postgres", &format!("select pg_relation_filepath('t_{name}')"));
        assert!(listed.contains_key(&path), "{path}");
    }
    assert!(!listed.keys().any(|path| path.starts_with("odd_place")), "a tablespace inside is copied once");
    let map = text(&site, id, "cluster.zst.age");
    assert!(map.contains("pg_tblspc/"));
    assert!(listed.contains_key("tablespace_map") && listed.contains_key("backup_label"));
    assert_eq!(manifest(&site, id)["base"]["tablespaces"][0]["location"], outside.path().to_str().unwrap());
}

/// Begins a slow base backup and waits until it reads files.
pub fn begin_slowly(cluster: &Cluster, site: &mut Site, source: &str) -> Running {
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", source);
    let slow = ("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "4MiB/s");
    let running = site.backup(&["--kind", "base"]).env(slow.0, slow.1).spawn();
    let begun = match source {
        "files" => {
            "select count(*) from pg_stat_activity where query like 'SELECT pg_%backup%' and state = 'idle'"
        }
        _ => "select count(*) from pg_stat_progress_basebackup where phase like 'streaming%'",
    };
    wait_until("files are read", || cluster.psql("postgres", begun) != "0");
    running
}

/// Waits for something, not for ever.
pub fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !met() {
        assert!(std::time::Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_chain_that_verify_found_damaged_is_not_built_on() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let full = site.back_up(&["--kind", "base"]);
    let id = full["manifest"]["id"].as_str().unwrap();
    let pack = snapshots(&site).join(id).join("packs/000000.tar.zst.age");
    damage::flip_bit(&pack, std::fs::metadata(&pack).unwrap().len() * 4);
    site.run(&["verify"]).run().exits(10);
    let next = site.back_up(&["--kind", "base"]);
    let because = next["manifest"]["base"]["full_because"].as_str().unwrap();
    assert!(because.contains(id) && because.contains("is damaged"), "{because}");
    // and on the new one again
    let after = site.back_up(&["--kind", "base"]);
    assert_eq!(after["manifest"]["parent"], next["manifest"]["id"]);
}
