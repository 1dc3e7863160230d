//! `lifeboat agent`: streams, survives, stops.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lifeboat_tests::children::HANGS;
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Program, Running, S3};
use rustix::process::Signal;

use crate::recovered::{base_copy, digest, hand_over, recover, recover_with, restore_command, wait_for};

pub fn streaming_cluster() -> Cluster {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "5"), ("synchronous_commit", "on")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Cluster::with(Options { settings, ..Options::default() })
}

pub fn program(site: &Site) -> Program {
    let on = [("LIFEBOAT_WAL_STREAM", "true"), ("LIFEBOAT_AGENT_LISTEN", "off")];
    site.run(&["agent"]).envs(on).limit(Duration::from_secs(300))
}

pub fn agent(site: &Site) -> Running {
    program(site).spawn()
}

pub fn set(cluster: &Cluster, name: &str, value: &str) {
    cluster.psql("postgres", &format!("alter system set {name} = '{value}'"));
    cluster.psql("postgres", "select pg_reload_conf()");
}

pub fn streams(cluster: &Cluster) -> bool {
    let sql = "select count(*) from pg_stat_replication where application_name = 'lifeboat' and state = 'streaming'";
    cluster.try_psql("postgres", sql).is_ok_and(|count| count == "1")
}

/// Waits until everything that is written now is durable in the repository.
pub fn stored(cluster: &Cluster) {
    let lsn = cluster.psql("postgres", "select pg_current_wal_insert_lsn()");
    let sql = format!(
        "select coalesce(bool_or(flush_lsn >= '{lsn}'), false) from pg_stat_replication where application_name = 'lifeboat'"
    );
    wait_for(&format!("{lsn} is stored"), || cluster.psql("postgres", &sql) == "t");
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn copied(from: &Path, name: &str) -> std::path::PathBuf {
    let to = from.with_file_name(name);
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(&to).status().unwrap().success());
    to
}

#[test]
fn what_was_committed_comes_back_within_a_segment_and_across_many() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    let base = base_copy(&cluster, "base");
    cluster.psql(
        "postgres",
        "create table t as select i as id, md5(i::text) as filler from generate_series(1, 300000) i",
    );
    cluster.psql("postgres", "insert into t values (0, 'the last one')");
    stored(&cluster);
    let status = site
        .run(&["wal", "status", "--json", "--behind-max", "5s"])
        .env("LIFEBOAT_WAL_STREAM", "true")
        .run()
        .ok()
        .json();
    assert_eq!(status["server"]["timeline"], "00000001", "{status}");
    assert!(status["server"]["behind_bytes"].as_u64().unwrap() < 100_000, "{status}");
    assert_eq!(status["server"]["slot"]["status"], "reserved", "{status}");
    assert_eq!(status["timelines"][0]["ranges"].as_array().unwrap().len(), 1, "{status}");
    let before = digest(&cluster, "t");
    cluster.kill9();
    running.signal(Signal::TERM);
    running.finish().ok();
    let segments = fs::read_dir(site.path("repo/instances/prod/wal/00000001")).unwrap().count();
    assert!(segments > 1, "one segment only: nothing was shown across segments");
    hand_over(&site.path(""));
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before, "{}", cluster.log());
}

#[test]
fn a_promotion_is_followed_and_the_history_is_there() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    let base = base_copy(&cluster, "base");
    let again = copied(&base, "again");
    cluster.psql("postgres", "create table t as select 1 as id");
    stored(&cluster);
    running.signal(Signal::TERM);
    running.finish().ok();
    hand_over(&site.path(""));
    // a standby, which is promoted while the agent streams from it
    recover_with(&cluster, &base, "standby.signal", &restore_command(&site));
    wait_for("the standby has the table", || cluster.try_psql("postgres", "select id from t").is_ok());
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    cluster.psql("postgres", "select pg_promote()");
    cluster.psql("postgres", "insert into t values (2)");
    stored(&cluster);
    assert!(site.path("repo/instances/prod/wal/history/00000002.history").is_dir());
    let before = digest(&cluster, "t");
    running.signal(Signal::TERM);
    running.finish().ok().says("timeline 2 follows");
    hand_over(&site.path(""));
    recover(&cluster, &again, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before, "{}", cluster.log());
}

#[test]
fn a_store_that_fails_is_waited_out() {
    let cluster = streaming_cluster();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let mut running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    let base = base_copy(&cluster, "base");
    cluster.psql("postgres", "create table t as select 1 as id");
    let planned = s3.plan(on("PUT", "/wal/0").respond(503));
    cluster.psql("postgres", "insert into t select generate_series(1, 100000)");
    wait_for("it gave up once", || running.stderr_so_far().contains("the slot keeps the WAL"));
    assert!(planned.fired() > 0 && running.is_running());
    s3.faults().clear();
    wait_for("it streams again", || streams(&cluster));
    stored(&cluster);
    let before = digest(&cluster, "t");
    running.signal(Signal::TERM);
    let told = running.finish().ok().stderr;
    let (times, reconnects) =
        (told.matches("the slot keeps the WAL").count(), told.matches("streaming stopped").count());
    assert_eq!(times, reconnects, "a reconnect is told once: {told}");
    hand_over(&site.path(""));
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before);
}

#[test]
fn another_cluster_another_agent_and_a_lost_slot_are_told() {
    let cluster = streaming_cluster();
    let mut site = Site::local(&cluster);
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    agent(&site).finish().exits(15).says("on this host");
    let elsewhere = site.path("elsewhere");
    let second = program(&site).env("LIFEBOAT_STATE_DIR", elsewhere.to_str().unwrap());
    second
        .run()
        .exits(15)
        .says(&format!("is locked by {}", host_name()))
        .says(&format!("(process {})", running.pid()));
    running.signal(Signal::TERM);
    running.finish().ok();
    assert_eq!(
        cluster.psql("postgres", "select count(*) from pg_replication_slots where slot_name = 'lifeboat'"),
        "1"
    );

    set(&cluster, "max_slot_wal_keep_size", "16MB");
    set(&cluster, "max_wal_size", "32MB");
    for _ in 0..6 {
        cluster.psql("postgres", "select pg_logical_emit_message(true, 'x', 'x'); select pg_switch_wal()");
    }
    cluster.psql("postgres", "checkpoint");
    assert_eq!(cluster.psql("postgres", "select wal_status from pg_replication_slots"), "lost");
    agent(&site).finish().exits(3).says("is lost");
    let status = site.run(&["wal", "status"]).run().exits(3);
    assert!(status.stdout.contains("problem: slot lifeboat is lost"), "{status}");
    cluster.stop();
    site.run(&["wal", "status"]).run().exits(3).says("cannot connect");
    site.run(&["wal", "status", "--offline"]).run().ok();

    let other = streaming_cluster();
    site.set("LIFEBOAT_POSTGRES_HOST", other.host());
    site.set("LIFEBOAT_POSTGRES_PORT", other.port());
    agent(&site).finish().exits(9).says("system identifier");
}

#[test]
fn small_commits_go_up_about_once_a_second_and_at_once_where_they_wait() {
    let cluster = streaming_cluster();
    let mut site = Site::local(&cluster);
    cluster.psql("postgres", "create table t (id int)");
    let mut objects_in_seconds = || {
        let running = agent(&site);
        wait_for("the agent streams", || streams(&cluster));
        stored(&cluster);
        let count = || {
            let mut count = 0;
            lifeboat_tests::compare::walk(&site.path("repo/instances/prod/wal"), &mut |path| {
                count += usize::from(path.extension().is_some_and(|extension| extension == "age"));
            });
            count
        };
        let (before, begun) = (count(), std::time::Instant::now());
        cluster.psql("postgres", "do $$ begin for i in 1..300 loop insert into t values (i); commit; perform pg_sleep(0.01); end loop; end $$");
        stored(&cluster);
        let (seconds, objects) = (begun.elapsed().as_secs_f64(), count() - before);
        running.signal(Signal::TERM);
        running.finish().ok();
        site.set("LIFEBOAT_WAL_PIECE_INTERVAL", "0s");
        (objects as f64, seconds)
    };
    let (objects, seconds) = objects_in_seconds();
    assert!((2.0..=seconds + 2.0).contains(&objects), "{objects} objects in {seconds:.1} s");
    let (objects, seconds) = objects_in_seconds();
    assert!(objects > 5.0 * seconds, "{objects} objects in {seconds:.1} s, and commits may wait for each");
}

/// Says nothing of `piece_interval`: the agent finds out by itself.
#[test]
fn commits_that_wait_are_stored_at_once_whatever_the_interval() {
    let cluster = streaming_cluster();
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_WAL_PIECE_INTERVAL", "40s");
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    cluster.psql("postgres", "create table t (n int)");
    set(&cluster, "synchronous_standby_names", "lifeboat");
    // those of the first seconds wait, until it is seen that they do
    cluster.psql("postgres", "insert into t values (0)");
    let begun = Instant::now();
    for n in 1..=5 {
        cluster.psql("postgres", &format!("insert into t values ({n})"));
    }
    assert!(begun.elapsed() < HANGS, "five commits took {:?}", begun.elapsed());
    set(&cluster, "synchronous_standby_names", "");
    running.signal(Signal::TERM);
    running.finish().ok();
}
