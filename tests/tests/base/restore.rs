//! `lifeboat restore --instance-to`: base backups and archived WAL of a cluster under load, to a
//! position, a time, the end; compared with what was there at that very moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifeboat::names::Lsn;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Options, Outcome, Program, damage};
use serde_json::Value;

use crate::contents::{bases, check_pages, snapshots};
use crate::copy::Copied;
use crate::full::{ledger, wait_until};

const LIMIT: Duration = Duration::from_secs(180);

/// A cluster that archives into a site's repository.
pub struct Archiving {
    pub cluster: Cluster,
    pub site: Site,
}

impl Archiving {
    pub fn start() -> Archiving {
        let settings = [("archive_mode", "on"), ("archive_command", "false"), ("archive_timeout", "0")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::with(Options { settings, ..Options::default() });
        let site = Site::local(&cluster);
        hand_over(&site.path(""));
        let archiving = Archiving { cluster, site };
        archiving.archive_by_push();
        archiving
    }

    /// From now on.
    pub fn archive_by_push(&self) {
        let (lifeboat, config) = (bin_dir().join("lifeboat"), self.site.config());
        let push = format!("{} --config {} wal push %p", lifeboat.display(), config.display());
        self.cluster.psql("postgres", &format!("alter system set archive_command = '{push}'"));
        self.cluster.psql("postgres", "select pg_reload_conf()");
    }

    /// A program run as the server's own user.
    pub fn as_server(&self, program: impl Into<std::ffi::OsString>) -> Program {
        let program = program.into();
        let program = match rustix::process::geteuid().is_root() {
            true => Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
                .arg(program),
            false => Program::at(program.into()),
        };
        program.cwd(self.site.path("")).limit(LIMIT)
    }

    /// `lifeboat` as that user: what it writes, archive_command must be able to add to.
    pub fn lifeboat(&self, args: &[&str]) -> Program {
        self.as_server(bin_dir().join("lifeboat")).args(args.to_vec())
    }

    pub fn base(&self) -> Value {
        self.lifeboat(&["backup", "--kind", "base", "--json"]).run().ok().json()["manifest"].clone()
    }

    /// Ends the segment and waits until all of it is stored.
    pub fn archive(&self) {
        let segment = self.cluster.switch_wal();
        let sql = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
        wait_until("the segment is archived", || self.cluster.psql("postgres", &sql) == "t");
    }

    /// `lifeboat restore --instance-to`, by us: root gives the files to the server's user.
    pub fn restore(&self, copied: &Copied, args: &[&str]) -> Program {
        self.site
            .run(&["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt", "--instance-to"])
            .arg(copied.data_dir())
            .args(args.to_vec())
            .limit(LIMIT)
    }

    /// Restored and started; it is where it was to go.
    pub fn started(&self, args: &[&str]) -> (Copied, Value) {
        let copied = Copied::new();
        let done = self.restore(&copied, args).arg("--start").run();
        assert!(done.code == Some(0), "{done}\n{}", copied.log());
        let started = done.json()["started"].clone();
        copied.started(&self.cluster, started["socket_dir"].as_str().unwrap());
        (copied, started)
    }
}

const DIGEST: &str =
    "select count(*) || ' ' || coalesce(md5(string_agg(n || filler, ',' order by n)), '') from ledger";

/// What the ledger held at one moment.
struct Truth {
    lsn: String,
    time: String,
    ledger: String,
}

/// One more transaction, and what there is after it.
fn step(cluster: &Cluster, n: u32) -> Truth {
    cluster.psql("shop", &format!("begin; insert into ledger (filler) select md5(g::text) from generate_series(1, 20) g; update ledger set filler = filler || '{n}' where n % 7 = 1; commit"));
    let row = cluster.psql("shop", "select pg_current_wal_insert_lsn() || '|' || to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    let (lsn, time) = row.split_once('|').unwrap();
    // the next commit is later than this time by the clock's own measure
    std::thread::sleep(Duration::from_millis(20));
    Truth { lsn: lsn.to_owned(), time: time.to_owned(), ledger: cluster.psql("shop", DIGEST) }
}

fn books_balance(copied: &Copied) {
    let sums = copied.psql("shop", "select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches) and (select sum(tbalance) from pgbench_tellers) = (select coalesce(sum(delta), 0) from pgbench_history) and (select sum(bbalance) from pgbench_branches) = (select coalesce(sum(delta), 0) from pgbench_history)");
    assert_eq!(sums, "t", "pgbench's sums differ: the copy is torn");
}

fn assert_is(copied: &Copied, cluster: &Cluster, truth: &str) {
    assert_eq!(copied.psql("shop", DIGEST), truth);
    books_balance(copied);
    copied.amcheck("shop");
    copied.stop();
    check_pages(cluster, copied.data_dir());
}

#[test]
fn any_point_behind_a_base_backup_comes_back_as_it_was() {
    let archiving = Archiving::start();
    let cluster = &archiving.cluster;
    ledger(cluster, "shop");
    cluster.run("pgbench", &["-i", "-s", "2", "-q", "shop"]);
    let stop = AtomicBool::new(false);
    let (mut truths, mut manifests) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                cluster.run("pgbench", &["-n", "-c", "2", "-T", "1", "shop"]);
                cluster.psql("shop", "vacuum full big");
            }
        });
        for _ in 0..2 {
            manifests.push(archiving.base());
            truths.extend((0..6).map(|n| step(cluster, n)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    truths.push(step(cluster, 99));
    archiving.archive();
    assert_eq!(manifests[1]["base"]["chain"].as_array().unwrap().len(), 2);
    assert_eq!(manifests[1]["base"]["bad_page_count"], 0);

    // behind the first backup and before the second: only the first serves
    let (copied, started) = archiving.started(&["--to-lsn", &truths[3].lsn]);
    assert_is(&copied, cluster, &truths[3].ledger);
    assert!(started["last_commit"].as_str().unwrap() <= truths[4].time.as_str(), "{started}");
    // behind the second: a time, from the incremental
    let (copied, _) = archiving.started(&["--to-time", &truths[9].time, "--target-action", "pause"]);
    assert_eq!(copied.psql("postgres", "select pg_is_in_recovery()"), "t");
    assert_eq!(copied.psql("shop", DIGEST), truths[9].ledger);
    drop(copied);
    let (copied, started) = archiving.started(&[]);
    assert_eq!(copied.psql("postgres", "select current_setting('archive_mode')"), "off");
    assert!(started["writable"].as_bool().unwrap());
    assert_is(&copied, cluster, &truths.last().unwrap().ledger);
}

#[test]
fn what_cannot_be_reached_is_refused_before_anything_is_touched() {
    let archiving = Archiving::start();
    let cluster = &archiving.cluster;
    ledger(cluster, "shop");
    let before = step(cluster, 0);
    let base = archiving.base();
    let inside = step(cluster, 1);
    archiving.archive();
    let copied = Copied::new();
    let refused = |args: &[&str], texts: &[&str]| {
        let outcome = archiving.restore(&copied, args).run().exits(16);
        texts.iter().for_each(|text| assert!(words(&outcome).contains(text), "{text} in {outcome}"));
        assert!(!copied.data_dir().exists());
        outcome
    };
    let stop_lsn = base["base"]["stop_lsn"].as_str().unwrap();
    refused(&["--to-lsn", &before.lsn], &["cannot be reached", &format!("consistent from {stop_lsn} on")]);
    refused(&["--to-time", &before.time], &["cannot be reached", "consistent from"]);
    refused(&["--to-lsn", "F/0"], &["WAL is stored up to"]);
    refused(&["--to-time", "2100-01-01T00:00:00Z"], &["WAL is stored up to"]);
    archiving.restore(&copied, &["--to-time", "2026-01-01T00:00:00"]).run().exits(2);
    // a gap ends what can be reached
    step(cluster, 2);
    archiving.archive();
    let later = step(cluster, 3);
    archiving.archive();
    let gap = cluster.psql("postgres", &format!("select pg_walfile_name('{}')", inside.lsn));
    let away = archiving.site.path("away");
    let next = Lsn(inside.lsn.parse::<Lsn>().unwrap().0 + (16 << 20));
    let next = cluster.psql("postgres", &format!("select pg_walfile_name('{next}')"));
    let wal = archiving.site.path("repo/instances/prod/wal/00000001");
    std::fs::rename(wal.join(&next), &away).unwrap();
    refused(&["--to-lsn", &later.lsn], &["WAL is stored up to"]);
    refused(&[], &["is missing: recovery stops at "]);
    let plan = archiving.restore(&copied, &["--to-lsn", &inside.lsn, "--dry-run"]).run().ok();
    assert!(plan.stdout.contains("is missing: recovery stops at "), "{plan}");
    assert!(!copied.data_dir().exists(), "{gap}");
    std::fs::rename(&away, wal.join(&next)).unwrap();
    // a place that is taken
    std::fs::create_dir(copied.data_dir()).unwrap();
    std::fs::write(copied.data_dir().join("mine"), "x").unwrap();
    archiving.restore(&copied, &[]).run().exits(16).says("is not empty");
    assert_eq!(std::fs::read_dir(copied.data_dir()).unwrap().count(), 1);
}

fn small() -> Archiving {
    let archiving = Archiving::start();
    ledger(&archiving.cluster, "shop");
    archiving.base();
    archiving
}

fn starts(copied: &Copied) -> Outcome {
    copied.try_start()
}

#[test]
fn a_flipped_pack_is_refused_and_a_killed_restore_goes_on() {
    let archiving = small();
    let id = bases(&archiving.site).pop().unwrap();
    let packs = snapshots(&archiving.site).join(&id).join("packs");
    for pack in std::fs::read_dir(packs).unwrap().map(|entry| entry.unwrap().path()) {
        let middle = std::fs::metadata(&pack).unwrap().len() * 4;
        damage::flip_bit(&pack, middle);
        let copied = Copied::new();
        let outcome = archiving.restore(&copied, &["--to", "immediate"]).run().exits(10);
        assert!(words(&outcome).contains("SHA-256"), "{outcome}");
        assert!(!copied.data_dir().join("global/pg_control").exists());
        copied.started(&archiving.cluster, "/nonexistent");
        assert_ne!(starts(&copied).code, Some(0), "a server starts on half an instance");
        damage::flip_bit(&pack, middle);
        // what was right stays, the rest comes now
        let done = archiving.restore(&copied, &["--to", "immediate", "--start"]).run();
        assert!(done.code == Some(0), "{done}\n{}", copied.log());
        copied.started(&archiving.cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
        assert_eq!(copied.psql("shop", "select count(*) from big"), "20000");
    }
    let copied = Copied::new();
    let running = archiving.restore(&copied, &["--to", "immediate"]).spawn();
    wait_until("files appear", || copied.data_dir().join("base/1").exists());
    running.kill9();
    assert!(!copied.data_dir().join("global/pg_control").exists());
    assert!(copied.data_dir().join("lifeboat-restore.json").exists());
    let (again, data) =
        (archiving.restore(&copied, &["--to", "immediate", "--start"]).run(), copied.data_dir());
    assert!(again.code == Some(0), "{again}\n{}", copied.log());
    copied.started(&archiving.cluster, again.json()["started"]["socket_dir"].as_str().unwrap());
    assert!(!data.join("lifeboat-restore.json").exists());
    assert_eq!(copied.psql("shop", "select count(*) from big"), "20000");
    copied.amcheck("shop");
    // and never into it again
    archiving.restore(&copied, &[]).run().exits(16);
}

#[test]
fn tablespaces_go_where_they_are_sent() {
    let archiving = Archiving::start();
    let cluster = &archiving.cluster;
    let outside = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    Program::at("/bin/chown".into()).arg("postgres:postgres").arg(outside.path()).run();
    cluster.psql("postgres", &format!("create tablespace north location '{}'", outside.path().display()));
    cluster.psql("postgres", "create table far tablespace north as select generate_series(1, 1000) n");
    archiving.base();
    cluster.psql("postgres", "insert into far select generate_series(1, 10)");
    archiving.archive();
    let copied = Copied::new();
    archiving.restore(&copied, &[]).run().exits(16).says("--tablespace-map");
    assert!(!copied.data_dir().exists());
    let to = tempfile::Builder::new().prefix("lbtt-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    let map = format!("{}={}", outside.path().display(), to.path().join("north").display());
    archiving.restore(&copied, &["--tablespace-map", "elsewhere=/x"]).run().exits(2);
    let (copied, _) = archiving.started(&["--tablespace-map", &map]);
    assert_eq!(copied.psql("postgres", "select count(*) from far"), "1010");
    let place = copied
        .psql("postgres", "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'north'");
    assert_eq!(place, to.path().join("north").display().to_string());
    drop(copied);
    assert_eq!(cluster.psql("postgres", "select count(*) from far"), "1010");

    // Replay would make this one again, in the directory of the running server.
    let later = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    Program::at("/bin/chown".into()).arg("postgres:postgres").arg(later.path()).run();
    cluster.psql("postgres", &format!("create tablespace later location '{}'", later.path().display()));
    archiving.archive();
    let copied = Copied::new();
    let refused = archiving.restore(&copied, &["--tablespace-map", &map]).run().exits(16);
    assert!(refused.stderr.contains("tablespace later was created after this base backup"), "{refused}");
    assert!(!copied.data_dir().exists());
}

#[test]
fn a_base_backup_from_before_the_first_archived_segment_leads_into_the_archive() {
    let archiving = Archiving::start();
    let cluster = &archiving.cluster;
    ledger(cluster, "shop");
    cluster.psql("postgres", "alter system set archive_command = '/bin/true'");
    cluster.psql("postgres", "select pg_reload_conf()");
    step(cluster, 0);
    let base = archiving.base();
    // what was written until now is in no archive
    let stop_lsn = base["base"]["stop_lsn"].as_str().unwrap();
    let of_base = cluster.psql("postgres", &format!("select pg_walfile_name('{stop_lsn}')"));
    let dropped = format!("select coalesce(last_archived_wal, '') >= '{of_base}' from pg_stat_archiver");
    wait_until("its WAL is dropped", || cluster.psql("postgres", &dropped) == "t");
    archiving.archive_by_push();
    let after = step(cluster, 1);
    archiving.archive();
    assert!(!archiving.site.path("repo/instances/prod/wal/00000001").join(&of_base).exists());
    let (copied, _) = archiving.started(&[]);
    assert_eq!(copied.psql("shop", DIGEST), after.ledger);
}
