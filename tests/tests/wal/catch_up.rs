//! A backlog: stored in order and without a gap at any moment, in bounded memory, and how fast.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lifeboat::archive::wal::WalName;
use lifeboat::names::wal::SegmentBytes;
use lifeboat::repository::wal::coverage::windows;
use lifeboat_tests::compare::walk;
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Running, S3};
use rustix::process::Signal;

use crate::recovered::wait_for;
use crate::streaming::{agent, program, stored, streaming_cluster, streams};

/// Segments of the backlog; `TEST_CATCH_UP` sets another number, to measure.
const SEGMENTS: u64 = 10;
/// How long catching up may take.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(280);
/// What the agent may take, all of it.
const MEMORY_BYTES_MAX: u64 = 256 << 20;

/// The most memory that a process ever had.
fn peak_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// So many segments of WAL that compresses about as well as that of a real database.
fn backlog(cluster: &Cluster, segments: u64) {
    for _ in 0..segments {
        let sql = "select count(pg_logical_emit_message(false, 'x', (select string_agg(md5(random()::text), '') || repeat('lifeboat', 81920) \
                   from generate_series(1, 12288)))) from generate_series(1, 15)";
        cluster.psql("postgres", sql);
    }
}

/// An agent's slot with a backlog behind it, and nobody who streams.
fn left_behind(site: &Site, cluster: &Cluster, segments: u64) {
    let running = agent(site);
    wait_for("the agent streams", || streams(cluster));
    stored(cluster);
    running.signal(Signal::TERM);
    running.finish().ok();
    backlog(cluster, segments);
}

fn caught_up(site: &Site, cluster: &Cluster) -> (Running, Duration) {
    let begun = Instant::now();
    let running = agent(site);
    let lsn = cluster.psql("postgres", "select pg_current_wal_insert_lsn()");
    let sql = format!("select coalesce(bool_or(flush_lsn >= '{lsn}'), false) from pg_stat_replication");
    while cluster.psql("postgres", &sql) != "t" {
        assert!(begun.elapsed() < CATCH_UP_LIMIT, "{}", running.stderr_so_far());
        std::thread::sleep(Duration::from_millis(50));
    }
    (running, begun.elapsed())
}

#[test]
fn a_backlog_is_stored_in_bounded_memory() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    let segments = std::env::var("TEST_CATCH_UP").map_or(SEGMENTS, |number| number.parse().unwrap());
    left_behind(&site, &cluster, segments);
    let (running, took) = caught_up(&site, &cluster);
    let peak = peak_bytes(running.pid());
    println!("{segments} segments in {took:?}, with {} MiB", peak >> 20);
    assert!(peak < MEMORY_BYTES_MAX, "{} MiB", peak >> 20);
    let status = site.run(&["wal", "status", "--json"]).run().ok().json();
    assert_eq!(status["timelines"][0]["ranges"].as_array().unwrap().len(), 1, "{status}");
    running.signal(Signal::TERM);
    running.finish().ok();
}

fn name_of(path: &str) -> Option<WalName> {
    let cut = path.rmatch_indices('/').nth(1)?.0 + 1;
    path[cut..].parse().ok()
}

fn stored_names(bucket: &Path) -> Vec<WalName> {
    let mut names = Vec::new();
    walk(bucket, &mut |path| names.extend(name_of(path.to_str().unwrap())));
    names
}

#[test]
fn the_next_block_is_put_only_when_all_before_it_are_durable() {
    let cluster = streaming_cluster();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    left_behind(&site, &cluster, 5);
    let (repository, gaps) = (s3.dir(), Arc::new(Mutex::new(Vec::new())));
    let seen = gaps.clone();
    // Whatever is on its way now, the agent may be killed the moment after it has landed.
    let planned = s3.plan(on("PUT", "/wal/0").call(move |served| {
        let mut names = stored_names(&repository);
        names.extend(name_of(&served.path));
        let windows = windows(&names, SegmentBytes::USUAL);
        seen.lock().unwrap().extend(windows.into_iter().flat_map(|windows| windows.gaps));
    }));
    // Slow enough that the next block is ready long before.
    s3.plan(on("PUT", "/wal/0").delay(Duration::from_millis(400)));
    let running = program(&site).spawn();
    wait_for("the agent streams", || streams(&cluster));
    // Killed somewhere in the middle, it leaves one window.
    std::thread::sleep(Duration::from_millis(1500));
    running.kill9();
    let status = site.run(&["wal", "status", "--json", "--offline"]).run().ok().json();
    assert_eq!(status["timelines"][0]["ranges"].as_array().unwrap().len(), 1, "{status}");
    let (running, _) = caught_up(&site, &cluster);
    assert!(planned.fired() > 5, "{} objects", planned.fired());
    assert_eq!(*gaps.lock().unwrap(), []);
    running.signal(Signal::TERM);
    running.finish().ok();
}
