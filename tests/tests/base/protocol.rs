//! Base backups over the replication protocol: no file of the data directory is opened by us.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifeboat_tests::children::HANGS;
use lifeboat_tests::installed::{available_majors, hand_over};
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, Program, damage, skip};
use rustix::process::Signal;
use serde_json::Value;

use crate::contents::{bases, check_pages, index, lay_out};
use crate::copy::Copied;
use crate::full::{ledger, load, wait_until};

/// A site whose base backups come over the protocol.
fn site_of(cluster: &Cluster) -> Site {
    let mut site = Site::local(cluster);
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol");
    site
}

fn id(report: &Value) -> &str {
    report["manifest"]["id"].as_str().unwrap()
}

fn chain(report: &Value) -> usize {
    report["manifest"]["base"]["chain"].as_array().unwrap().len()
}

fn stored(report: &Value) -> u64 {
    report["manifest"]["plain_bytes"].as_u64().unwrap()
}

/// Everything of a table, in a few digits.
fn digest(table: &str) -> String {
    format!("select count(*) || ' ' || md5(string_agg(t::text, ',' order by t)) from {table} t")
}

fn kept_back(cluster: &Cluster) -> String {
    cluster
        .psql("postgres", "select count(*) from pg_replication_slots where slot_name like 'lifeboat_base%'")
}

/// Ends what runs beside, when a test fails as well.
pub struct Stops<'a>(pub &'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn every_major_sends_a_consistent_copy_under_load() {
    let majors = available_majors();
    for &major in &majors {
        println!("PostgreSQL {major}");
        let cluster = Cluster::start(major);
        ledger(&cluster, "shop");
        cluster.run("pgbench", &["-i", "-s", "1", "-q", "shop"]);
        let site = site_of(&cluster);
        let stop = AtomicBool::new(false);
        let reports = std::thread::scope(|scope| {
            scope.spawn(|| load(&cluster, &stop));
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    cluster.run("pgbench", &["-n", "-c", "2", "-T", "1", "shop"]);
                }
            });
            let _stops = Stops(&stop);
            std::thread::sleep(Duration::from_millis(300));
            [0, 1].map(|_| site.back_up(&["--kind", "base"]))
        });
        for (n, report) in reports.iter().enumerate() {
            let facts = &report["manifest"]["base"];
            assert_eq!((chain(report), facts["bad_page_count"].as_u64()), (n + 1, Some(0)), "{report}");
            assert_eq!(report["notes"], serde_json::json!([]));
            if n == 0 && major != majors[0] {
                continue; // the incremental one is made of it
            }
            let copied = Copied::new();
            lay_out(&site, id(report), copied.data_dir());
            copied.start(&cluster);
            assert_eq!(copied.psql("shop", "select count(*) = max(n) and count(*) > 0 from ledger"), "t");
            assert_eq!(copied.psql("shop", "select count(*) from big"), "20000");
            assert_eq!(copied.psql("shop", "select count(*) from scratch"), "0");
            let books = "select (select sum(abalance) from pgbench_accounts) = (select coalesce(sum(delta), 0) from pgbench_history)";
            assert_eq!(copied.psql("shop", books), "t");
            copied.amcheck("shop");
            copied.stop();
            check_pages(&cluster, copied.data_dir());
        }
        assert_eq!(kept_back(&cluster), "0", "the slot went with the connection");
    }
    if majors.len() < 2 {
        skip!("the only PostgreSQL here is {majors:?}: TEST_PG_BIN_17=DIR names another");
    }
}

#[test]
fn both_ways_see_the_same_files_and_share_one_chain() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let outside = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    let inside = cluster.data_dir().join("odd_place");
    std::fs::create_dir(&inside).unwrap();
    for (name, dir) in [("north", outside.path()), ("south", inside.as_path())] {
        Program::at("/bin/chown".into()).arg("postgres:postgres").arg(dir).run();
        cluster.psql("postgres", &format!("create tablespace {name} location '{}'", dir.display()));
        cluster.psql(
            "postgres",
            &format!("create table t_{name} tablespace {name} as select generate_series(1, 1000) n"),
        );
    }
    cluster.psql("shop", "vacuum analyze");
    let mut site = site_of(&cluster);
    let sent = site.back_up(&["--kind", "base"]);
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "files");
    let read = site.back_up(&["--kind", "base"]);
    assert_eq!((chain(&sent), chain(&read)), (1, 2));
    let own = |report: &Value| stored(report) - (16 << 20);
    assert!(own(&sent) > 30 << 20 && own(&read) < 1 << 20, "{} {}", own(&sent), own(&read));
    for facts in ["tablespaces", "system_identifier", "server_version", "data_checksums", "timeline"] {
        assert_eq!(sent["manifest"]["base"][facts], read["manifest"]["base"][facts], "{facts}");
    }
    let mut lists = [&sent, &read].map(|report| index(&site, id(report)));
    lists.iter_mut().for_each(|list| list.retain(|path, _| !path.starts_with("pg_wal/")));
    assert_eq!(lists[0].keys().collect::<Vec<_>>(), lists[1].keys().collect::<Vec<_>>());
    let table = cluster.psql("shop", "select pg_relation_filepath('big')");
    for path in [table.as_str(), "PG_VERSION", "base/1/pg_filenode.map"] {
        for of in ["blake3", "bytes", "mode"] {
            assert!(!lists[0][path][of].is_null(), "{path} has no {of}");
            assert_eq!(lists[0][path][of], lists[1][path][of], "{path}");
        }
    }
    // and on: an incremental by the protocol upon one by the files upon one by the protocol
    cluster.psql("shop", "update big set v = 'changed' where id between 500 and 600");
    cluster.psql("postgres", "insert into t_north values (7)");
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol");
    let last = site.back_up(&["--kind", "base"]);
    assert_eq!((chain(&last), &last["manifest"]["parent"]), (3, &read["manifest"]["id"]));
    assert!(own(&last) > 8 << 10 && own(&last) < 4 << 20, "{}", own(&last));
    let truth = cluster.psql("shop", &digest("big"));
    site.run(&["verify", "--deep", "--identity", "lifeboat-identity.txt"]).run().ok();
    let (copied, to) = (
        Copied::new(),
        tempfile::Builder::new().prefix("lbtt-").tempdir_in(lifeboat_tests::place::ours()).unwrap(),
    );
    let map = |from: &std::path::Path, to: &str| format!("{}={to}", from.display());
    let to = |name: &str| to.path().join(name).display().to_string();
    let restore =
        ["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt", "--to", "immediate", "--start"];
    hand_over(&site.path("")); // for wal fetch
    let done = site
        .run(&restore)
        .args([
            "--tablespace-map".into(),
            map(outside.path(), &to("n")),
            "--tablespace-map".into(),
            map(&inside, &to("s")),
        ])
        .arg("--instance-to")
        .arg(copied.data_dir())
        .run();
    assert!(done.code == Some(0), "{done}\n{}", copied.log());
    copied.started(&cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(copied.psql("shop", &digest("big")), truth);
    assert_eq!(
        copied.psql(
            "postgres",
            "select (select count(*) from t_north) || ' ' || (select count(*) from t_south)"
        ),
        "1001 1000"
    );
    copied.amcheck("shop");
    copied.stop();
    check_pages(&cluster, copied.data_dir());
}

#[test]
fn a_flipped_page_is_named_and_the_backup_kept() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let path = cluster.psql("shop", "select pg_relation_filepath('big')");
    cluster.stop();
    // more of them than the server names
    for page in [7, 9, 11, 13, 15, 17, 900] {
        damage::flip_bit(&cluster.data_dir().join(&path), (page * 8192 + 5000) * 8);
    }
    cluster.start_again();
    let site = site_of(&cluster);
    let outcome = site.backup(&["--kind", "base", "--json"]).run().exits(3);
    let facts = outcome.json()["manifest"]["base"].clone();
    assert_eq!(facts["bad_page_count"], 7);
    assert_eq!(facts["bad_pages"][6], serde_json::json!({ "path": path, "block": 900 }));
    assert!(words(&outcome).contains(&format!("{path} block 7")), "{outcome}");
    let id = bases(&site).pop().unwrap();
    let verify = site.run(&["verify"]).run().exits(3);
    assert!(verify.stdout.contains(&format!("problem: base backup {id} has 7 bad pages")), "{verify}");
    assert!(index(&site, &id)[&path]["flaw"].as_str().unwrap().contains("7 pages"));
}

#[test]
fn a_standby_sends_as_well() {
    let primary = Cluster::start_default();
    ledger(&primary, "shop");
    let standby = Copied::new();
    let data = standby.data_dir().to_str().unwrap().to_owned();
    primary.run("pg_basebackup", &["-D", &data, "-R", "--checkpoint=fast", "--no-sync"]);
    standby.own();
    standby.start(&primary);
    let mut site = site_of(&primary);
    site.set("LIFEBOAT_POSTGRES_HOST", standby.socket().display());
    site.set("LIFEBOAT_POSTGRES_PORT", 5432);
    primary.psql("shop", "update big set v = 'changed' where id % 100 = 1");
    let changed = "select count(*) from big where v = 'changed'";
    wait_until("the standby follows", || standby.psql("shop", changed) == "200");
    let report = site.back_up(&["--kind", "base"]);
    assert_eq!(report["manifest"]["base"]["from_standby"], true);
    assert!(!index(&site, id(&report)).contains_key("standby.signal"), "the copy would be a standby");
    let copied = Copied::new();
    lay_out(&site, id(&report), copied.data_dir());
    copied.start(&primary);
    assert_eq!(copied.psql("shop", changed), "200");
    copied.amcheck("shop");
    copied.stop();
    check_pages(&primary, copied.data_dir());
}

/// One that reads so slowly that something can happen to it, once it is reading.
fn under_way(site: &mut Site, cluster: &Cluster) -> lifeboat_tests::program::Running {
    site.set("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "2MiB/s");
    let running = site.backup(&["--kind", "base"]).spawn();
    let sending = "select count(*) from pg_stat_activity where backend_type = 'walsender' and wait_event = 'ClientWrite'";
    wait_until("the server sends", || cluster.psql("postgres", sending) == "1");
    assert_eq!(kept_back(cluster), "1");
    running
}

#[test]
fn cut_short_it_leaves_no_snapshot_and_nothing_in_the_server() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let mut site = site_of(&cluster);
    let cut = under_way(&mut site, &cluster);
    cluster.psql(
        "postgres",
        "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'",
    );
    let outcome = cut.finish().exits(13);
    assert!(words(&outcome).contains("no base backup was stored"), "{outcome}");
    assert!(words(&outcome).contains("replication at"), "{outcome}");
    let stopped = under_way(&mut site, &cluster);
    let begun = Instant::now();
    stopped.signal(Signal::TERM);
    let outcome = stopped.finish();
    assert!(outcome.code != Some(0) && begun.elapsed() < HANGS, "{outcome}");
    under_way(&mut site, &cluster).kill9();
    let down = under_way(&mut site, &cluster);
    cluster.kill9();
    let outcome = down.finish().exits(13);
    assert!(words(&outcome).contains("the connection is lost"), "{outcome}");
    assert!(bases(&site).is_empty());
    cluster.start_again();
    assert_eq!(kept_back(&cluster), "0");
    assert!(!site.path("lifeboat-state/prod/base.known.zst").exists());
    site.set("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "unlimited");
    site.back_up(&["--kind", "base"]);
    assert_eq!(bases(&site).len(), 1);
    let left = std::fs::read_dir(site.path("lifeboat-state/prod")).unwrap().map(|e| e.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_str().unwrap().contains("unnamed")));
}

/// A server that lets in who it should, and a role that has REPLICATION and nothing else.
fn with_a_replication_role() -> (Cluster, Site) {
    let settings = vec![("max_replication_slots".to_owned(), "1".to_owned())];
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    ledger(&cluster, "shop");
    cluster.psql(
        "postgres",
        "revoke connect on database shop from public; create role copier login replication",
    );
    let hba = "local all all trust\nlocal replication copier trust\n";
    std::fs::write(cluster.data_dir().join("pg_hba.conf"), hba).unwrap();
    cluster.psql("postgres", "select pg_reload_conf()");
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_POSTGRES_USER", "copier");
    (cluster, site)
}

#[test]
fn replication_is_all_that_the_role_needs_and_auto_takes_that_way_by_itself() {
    let (cluster, mut site) = with_a_replication_role();
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "protocol");
    let report = site.back_up(&["--kind", "base"]);
    assert_eq!(report["notes"], serde_json::json!([]));
    // without a slot it is said that WAL may be missing, which it is not here
    cluster.psql("postgres", "select pg_create_physical_replication_slot('taken')");
    let report = site.back_up(&["--kind", "base"]);
    assert!(report["notes"][0].as_str().unwrap().contains("gave no replication slot"), "{report}");
    cluster.psql("postgres", "select pg_drop_replication_slot('taken')");

    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "files");
    let refused = site.backup(&["--kind", "base"]).run().exits(6);
    assert!(words(&refused).contains("pg_read_all_settings"), "{refused}");
    site.set("LIFEBOAT_BACKUP_BASE_SOURCE", "auto");
    let said = |site: &Site, why: &str| {
        let report = site.back_up(&["--kind", "base"]);
        let note = report["notes"][0].as_str().unwrap().to_owned();
        assert!(note.contains("cannot be read here") && note.contains(why), "{note}");
    };
    said(&site, "pg_read_all_settings");
    cluster.psql("postgres", "grant pg_read_all_settings, pg_read_all_stats to copier");
    let functions = match cluster.major() {
        ..15 => ["pg_start_backup(text,boolean,boolean)", "pg_stop_backup(boolean,boolean)"],
        _ => ["pg_backup_start", "pg_backup_stop"],
    };
    said(&site, &format!("may not execute {}", functions[0]));
    cluster.psql("postgres", &format!("grant execute on function {} to copier", functions.join(", ")));
    let report = site.back_up(&["--kind", "base"]);
    assert_eq!(report["notes"], serde_json::json!([]), "the files can be read now");
    // neither way
    cluster.psql("postgres", "alter role copier noreplication; revoke pg_read_all_settings from copier");
    let refused = site.backup(&["--kind", "base"]).run().exits(13);
    let words = words(&refused);
    assert!(words.contains("REPLICATION") && words.contains("cannot be read here either"), "{refused}");
}

#[test]
fn another_clusters_files_are_not_taken_for_the_servers() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    // a clone that has the same identity, and an older state
    let clone = Copied::new();
    cluster
        .run("pg_basebackup", &["-D", clone.data_dir().to_str().unwrap(), "--checkpoint=fast", "--no-sync"]);
    clone.own();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "checkpoint");
    // as in a container that has other files at the same place
    let script = r#"mount --bind "$CLONE" "$DATA" && exec "$LIFEBOAT" backup --kind base"#;
    let unshared = |script: &str| {
        Program::at("/usr/bin/unshare".into())
            .args(["-m", "/bin/sh", "-c", script])
            .env("CLONE", clone.data_dir())
            .env("DATA", cluster.data_dir())
            .env("LIFEBOAT", lifeboat_tests::program::bin_dir().join("lifeboat"))
            .cwd(site.path(""))
            .run()
    };
    if unshared(r#"mount --bind "$CLONE" "$DATA""#).code != Some(0) {
        skip!("no mount of our own can be made here (unshare -m)");
    }
    let refused = unshared(script);
    assert!(words(&refused).contains("is not the data directory of this server"), "{refused}");
    assert!(bases(&site).is_empty());
}

#[test]
fn a_damaged_known_base_backup_makes_a_full_one_that_says_so() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let site = site_of(&cluster);
    site.back_up(&["--kind", "base"]);
    let state = site.path("lifeboat-state/prod/base.known.zst");
    damage::flip_bit(&state, std::fs::metadata(&state).unwrap().len() * 4);
    let damaged = site.back_up(&["--kind", "base"]);
    assert_eq!(chain(&damaged), 1);
    assert!(damaged["manifest"]["base"]["full_because"].as_str().unwrap().contains("damaged"));
    assert_eq!(chain(&site.back_up(&["--kind", "base"])), 2);
}
