//! What monitoring and the on-call engineer are told of the stream: numbers, health, alarms before the slot
//! fills the disk, and the way back after it was lost.

use std::time::Duration;

use lifeboat_tests::cluster::free_port;
use lifeboat_tests::faults::on;
use lifeboat_tests::http::{get, metric};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, S3};
use rustix::process::Signal;

use crate::archive::{archive_by, archived, archiving_cluster};
use crate::recovered::{hand_over, shell_command, wait_for};
use crate::streaming::{agent, program, set, stored, streaming_cluster, streams};

/// A position as metrics tell it.
fn bytes_of(lsn: &str) -> f64 {
    let (high, low) = lsn.split_once('/').unwrap();
    (u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()) as f64
}

fn healthy(address: &str) -> Result<(), String> {
    match get(address, "/healthz") {
        Some((status, _)) if status.ends_with("200 OK") => Ok(()),
        Some((status, body)) => Err(format!("{status} {body}")),
        None => Err("no answer".to_owned()),
    }
}

/// Some 10 MiB of WAL.
fn write_ten_mebibytes(cluster: &Cluster) {
    let sql = "select count(pg_logical_emit_message(false, 'x', repeat(md5(i::text), 16384))) from generate_series(1, 20) i";
    cluster.psql("postgres", sql);
}

#[test]
fn a_store_that_refuses_is_seen_by_monitoring_before_the_slot_is_lost() {
    let settings = [("max_slot_wal_keep_size", "96MB"), ("max_wal_size", "64MB"), ("min_wal_size", "32MB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let address = format!("127.0.0.1:{}", free_port());
    let program = program(&site).env("LIFEBOAT_AGENT_LISTEN", &address).env("LIFEBOAT_WAL_STALL_MAX", "2s");
    let agent = program.spawn();
    wait_for("the agent streams", || streams(&cluster));
    cluster.psql("postgres", "create table t as select 1 as id");
    let lsn = bytes_of(&cluster.psql("postgres", "select pg_current_wal_flush_lsn()"));
    let told = |name: &str| metric(&address, name);
    wait_for("it is stored", || told("lifeboat_wal_stored_lsn_bytes").is_some_and(|stored| stored >= lsn));
    wait_for("the slot was looked at", || told("lifeboat_wal_slot_status{status=\"reserved\"}") == Some(1.0));
    assert!(told("lifeboat_wal_server_lsn_bytes").unwrap() >= lsn);
    assert_eq!(told("lifeboat_wal_slot_limit_bytes"), Some(96.0 * 1048576.0));
    for name in [
        "slot_kept_bytes",
        "slot_safe_bytes",
        "slot_restart_lsn_bytes",
        "stored_timestamp_seconds",
        "complete_timestamp_seconds",
        "lag_bytes",
    ] {
        assert!(told(&format!("lifeboat_wal_{name}")).is_some(), "{name} is not told");
    }
    assert!(told("lifeboat_wal_uploads_total").unwrap() >= 1.0);
    assert_eq!(told("lifeboat_wal_connections_total"), Some(1.0));
    assert_eq!(told("lifeboat_wal_streaming"), Some(1.0));
    assert_eq!(healthy(&address), Ok(()));
    site.run(&["wal", "status"]).run().ok();

    let refused = s3.plan(on("PUT", "/wal/0").respond(403));
    for _ in 0..7 {
        write_ten_mebibytes(&cluster);
    }
    wait_for("it is unhealthy", || {
        healthy(&address).is_err_and(|told| told.contains("503") && told.contains("stored for"))
    });
    assert!(refused.fired() > 0);
    wait_for("the slot's alarm", || {
        told("lifeboat_wal_alarm{alarm=\"slot\"}").is_some_and(|level| level >= 1.0)
    });
    wait_for("the stream's alarm", || told("lifeboat_wal_alarm{alarm=\"stalled\"}") == Some(2.0));
    assert!(told("lifeboat_wal_failures_total{kind=\"denied\"}").unwrap() >= 1.0);
    assert!(told("lifeboat_wal_lag_bytes").unwrap() > 5e7);
    let said = agent.stderr_so_far();
    assert!(
        said.contains("of what max_slot_wal_keep_size allows") && said.contains("runbooks/wal-slot.md"),
        "{said}"
    );
    let status = site.run(&["wal", "status"]).run().exits(3);
    assert!(status.stdout.contains("problem: slot lifeboat keeps "), "{status}");
    let status = site.run(&["status"]).run();
    assert!(
        status.stdout.contains("problem: slot lifeboat keeps ") && status.stdout.contains("stored for"),
        "{status}"
    );

    s3.faults().clear();
    wait_for("it is healthy again", || healthy(&address).is_ok());
    stored(&cluster);
    cluster.psql("postgres", "checkpoint");
    wait_for("the alarms are over", || {
        told("lifeboat_wal_alarm{alarm=\"slot\"}") == Some(0.0)
            && told("lifeboat_wal_alarm{alarm=\"stalled\"}") == Some(0.0)
    });
    wait_for("both are said to be over", || agent.stderr_so_far().matches("resolved: ").count() == 2);
    site.run(&["wal", "status"]).run().ok();
    agent.signal(Signal::TERM);
    agent.finish().ok();
}

#[test]
fn a_slot_without_a_limit_is_warned_of_with_what_to_set() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    let agent = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    stored(&cluster);
    let status = site.run(&["wal", "status"]).run().ok();
    let warning = status.stdout.lines().find(|line| line.contains("max_slot_wal_keep_size is unlimited"));
    assert!(warning.is_some_and(|line| line.starts_with("warning: ") && line.contains("GB'")), "{status}");
    let doctor = site.run(&["doctor"]).run();
    assert!(doctor.stdout.contains("max_slot_wal_keep_size is unlimited"), "{doctor}");
    set(&cluster, "max_slot_wal_keep_size", "1GB");
    wait_for("the warning goes", || !site.run(&["wal", "status"]).run().ok().stdout.contains("warning"));
    agent.signal(Signal::TERM);
    agent.finish().ok();
}

#[test]
fn after_a_lost_slot_the_advice_makes_the_window_whole_again() {
    let cluster = streaming_cluster();
    let mut site = Site::local(&cluster);
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    cluster.psql("postgres", "create table t as select 1 as id");
    stored(&cluster);
    site.back_up(&["--kind", "base"]);
    running.signal(Signal::TERM);
    running.finish().ok();
    // Not earlier: a base backup's own slot has the same limit.
    set(&cluster, "max_slot_wal_keep_size", "16MB");
    for _ in 0..6 {
        write_ten_mebibytes(&cluster);
    }
    wait_for("the slot is lost", || {
        cluster.psql("postgres", "checkpoint");
        cluster.psql("postgres", "select wal_status from pg_replication_slots") == "lost"
    });
    let told = agent(&site).finish().exits(3).says("slot lifeboat is lost");
    assert!(
        told.stderr.contains("pg_drop_replication_slot('lifeboat'), raise max_slot_wal_keep_size"),
        "{told}"
    );
    let status = site.run(&["wal", "status"]).run().exits(3);
    assert!(status.stdout.contains("problem: slot lifeboat is lost"), "{status}");

    // As it was advised.
    cluster.psql("postgres", "select pg_drop_replication_slot('lifeboat')");
    set(&cluster, "max_slot_wal_keep_size", "1GB");
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    assert!(
        running.stderr_so_far().contains(" is missing: recovery stops at "),
        "{}",
        running.stderr_so_far()
    );
    cluster.psql("postgres", "insert into t values (2)");
    stored(&cluster);
    let status = site.run(&["wal", "status"]).run().exits(3);
    assert!(status.stdout.contains("problem: WAL from "), "{status}");
    site.back_up(&["--kind", "base"]);
    cluster.psql("postgres", "insert into t values (3)");
    stored(&cluster);
    let status = site.run(&["wal", "status"]).run().ok();
    assert!(status.stdout.contains("warning: WAL from "), "{status}");
    site.run(&["status"]).run().ok();
    running.signal(Signal::TERM);
    running.finish().ok();

    site.set("LIFEBOAT_SEAL_IDENTITY_FILES", site.path("lifeboat-identity.txt").display());
    let dir = site.path("restored");
    let restore = site.run(&["restore", "--yes", "--dry-run", "--instance-to"]).arg(&dir);
    let plan = restore.limit(Duration::from_secs(60)).run().ok();
    assert!(!plan.stdout.contains("is missing"), "{plan}");
}

#[test]
fn a_site_with_archive_command_alone_is_told_how_that_goes() {
    let cluster = archiving_cluster();
    let site = Site::local(&cluster);
    hand_over(&site.path(""));
    archive_by(&cluster, &shell_command(&site, "push %p"));
    archived(&cluster);
    let status = site.run(&["wal", "status"]).run().ok();
    assert!(status.stdout.contains("warning: WAL arrives only by archive_command"), "{status}");
    assert!(status.stdout.contains("last archived 0000000100000000000000"), "{status}");
    let quiet = site.run(&["wal", "status"]).env("LIFEBOAT_WAL_STREAM", "false").run().ok();
    assert!(!quiet.stdout.contains("warning"), "{quiet}");
    let problem = |words: &str| {
        wait_for(words, || {
            // The archiver reads its configuration a little later.
            cluster
                .psql("postgres", "select pg_logical_emit_message(true, 'x', 'x'); select pg_switch_wal()");
            let status = site.run(&["wal", "status"]).run();
            let mut problems = status.stdout.lines().filter(|line| line.starts_with("problem: ")).peekable();
            assert_eq!(status.code, Some(if problems.peek().is_some() { 3 } else { 0 }), "{status}");
            problems.any(|line| line.contains(words))
        });
    };
    // It goes somewhere else.
    archive_by(&cluster, "true");
    problem("which is not in this repository");
    // Nowhere.
    archive_by(&cluster, "false");
    problem("archive_command fails");
}
