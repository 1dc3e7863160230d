//! Across promotions: from a base backup of the first timeline to before and behind a switch, and
//! where two timelines part.

use std::path::Path;

use lifeboat_tests::Program;
use lifeboat_tests::program::bin_dir;
use serde_json::Value;

use crate::archiving::{Archiving, DIGEST, LIMIT, Truth, as_server, hand_over, wait_until};
use crate::copy::Copied;

/// Starts a server on a directory, archiving as its settings say; its socket is in `copied`'s place.
pub fn start(archiving: &Archiving, copied: &Copied) {
    let dir = copied.data_dir();
    let own = dir.parent().unwrap();
    let options =
        format!("-c listen_addresses='' -c unix_socket_directories='{}' -c port=5432", own.display());
    copied.started(&archiving.cluster, own.to_str().unwrap());
    let program = as_server(&archiving.cluster.bin_dir().join("pg_ctl")).limit(LIMIT);
    let program = program.args(["-w", "-t", "100", "-D"]).arg(dir).arg("-l").arg(own.join("log"));
    let done = program.arg("-o").arg(options).arg("start").run();
    assert!(done.code == Some(0), "{done}\n{}", std::fs::read_to_string(own.join("log")).unwrap_or_default());
}

/// One more transaction there, and what there is after it.
pub fn step(server: &Copied) -> Truth {
    server.psql("shop", "insert into ledger (filler) select md5(g::text) from generate_series(1, 20) g");
    let row = server.psql("shop", "select pg_current_wal_insert_lsn() || '|' || to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    let (lsn, time) = row.split_once('|').unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    Truth { lsn: lsn.to_owned(), time: time.to_owned(), ledger: server.psql("shop", DIGEST) }
}

pub fn archive(server: &Copied) {
    // Something was written before, so this is in the segment that ends.
    let segment = server.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    let sql = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
    wait_until("the segment is archived", || server.psql("postgres", &sql) == "t");
}

/// A standby of the cluster that has all of it, promoted when the cluster had ended.
pub fn promoted_standby(archiving: &Archiving) -> Copied {
    let cluster = &archiving.cluster;
    let standby = Copied::new();
    let data = standby.data_dir().to_str().unwrap().to_owned();
    cluster.run("pg_basebackup", &["-D", &data, "-R", "--checkpoint=fast", "--no-sync"]);
    hand_over(standby.data_dir());
    start(archiving, &standby);
    let behind = "select count(*) from pg_stat_replication where replay_lsn >= pg_current_wal_lsn()";
    wait_until("the standby follows", || cluster.psql("postgres", behind) == "1");
    cluster.stop();
    standby.psql("postgres", "select pg_promote()");
    standby
}

pub fn restored_is(archiving: &Archiving, args: &[&str], ledger: &str) -> Value {
    let (copied, report) = archiving.started(args);
    assert_eq!(copied.psql("shop", DIGEST), ledger, "{args:?}");
    copied.amcheck("shop");
    report["restored"]["plan"].clone()
}

#[test]
fn a_promotion_is_followed_and_of_two_timelines_a_person_chooses() {
    let archiving = Archiving::start(None);
    archiving.base();
    let one = archiving.step();
    archiving.archive();
    let two = archiving.step();
    let standby = promoted_standby(&archiving);
    let three = step(&standby);
    let four = step(&standby);
    archive(&standby);
    standby.stop();
    assert!(archiving.site.path("repo/instances/prod/wal/history/00000002.history").is_dir());

    // from a base backup of timeline 1: before the switch, just before it, behind it
    for (args, ledger) in [
        (["--to-time", &one.time], &one.ledger),
        (["--to-lsn", &two.lsn], &two.ledger),
        (["--to-time", &three.time], &three.ledger),
        (["--to", "latest"], &four.ledger),
    ] {
        assert_eq!(restored_is(&archiving, &args, ledger)["timeline"], 2);
    }

    // another server goes on from where timeline 1 was, and archives: timeline 3
    let sibling = Copied::new();
    let aside = ["--to-lsn", &one.lsn, "--timeline", "00000001", "--keep-archiving"];
    archiving.restore_to(sibling.data_dir(), &aside).run().ok();
    start(&archiving, &sibling);
    wait_until("it is open", || sibling.psql("postgres", "select pg_is_in_recovery()") == "f");
    let other = step(&sibling);
    archive(&sibling);
    sibling.stop();
    let copied = Copied::new();
    for args in [&["--to", "latest"][..], &["--to-time", &other.time], &["--to-lsn", &other.lsn]] {
        let refused = archiving.restore_to(copied.data_dir(), args).run().exits(16);
        for said in ["differs between timelines 2 and 3", "the newest, 3, may be a copy", "left 1 at"] {
            assert!(refused.stderr.contains(said), "{said}: {refused}");
        }
    }
    restored_is(&archiving, &["--timeline", "00000002"], &four.ledger);
    restored_is(&archiving, &["--timeline", "00000003"], &other.ledger);
    // where both are still the same there is no question
    let before = ["--to-lsn", &one.lsn, "--dry-run"];
    archiving.restore_to(copied.data_dir(), &before).run().ok();
    assert!(!copied.data_dir().exists());

    // a clone that was promoted as well, and got its history in somehow
    let histories = archiving.site.path("repo/instances/prod/wal/history/00000003.history");
    let aside = archiving.site.path("aside");
    std::fs::rename(&histories, &aside).unwrap();
    push(&archiving, "00000003.history", "1\t0/4000100\tclone\n");
    for entry in std::fs::read_dir(&aside).unwrap().map(|entry| entry.unwrap()) {
        std::fs::rename(entry.path(), histories.join(entry.file_name())).unwrap();
    }
    let two_truths = archiving.restore_to(copied.data_dir(), &["--timeline", "00000003"]).run().exits(10);
    assert!(two_truths.stderr.contains("two different histories of timeline 3 are stored"), "{two_truths}");
    archiving.restore_to(copied.data_dir(), &["--timeline", "00000002", "--dry-run"]).run().ok();
}

/// Archives a file that no server made.
fn push(archiving: &Archiving, name: &str, content: &str) {
    let dir = archiving.site.path("pg_wal");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(name), content).unwrap();
    hand_over(&dir);
    run_push(archiving, &dir.join(name));
}

pub fn run_push(archiving: &Archiving, path: &Path) {
    let program: Program = as_server(&bin_dir().join("lifeboat")).limit(LIMIT);
    program.arg("--config").arg(archiving.site.config()).args(["wal", "push"]).arg(path).run().ok();
}
