//! The store refuses, fails, hangs, crawls or is full for an hour, with time made to pass faster: WAL waits
//! in the slot, alarms are raised, and afterwards nothing is missing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and waits by itself

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lifeboat::clock;
use lifeboat::config::{Config, Inputs};
use lifeboat::daemon::metrics::{self, Metrics};
use lifeboat::error::Result;
use lifeboat::progress::Progress;
use lifeboat::wal::stream::{self, Observed};
use lifeboat_tests::faults::{Fault, on};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, S3};
use tokio_util::sync::CancellationToken;

/// So many times as fast: an hour takes 15 s, and a server that is silent for 125 ms counts as gone.
const SPEED: u32 = 240;
const HOUR: Duration = Duration::from_secs(3600);
/// How long anything else may really take.
const LIMIT: Duration = Duration::from_secs(60);

/// The streaming half of an agent, in this process.
struct Agent {
    stop: CancellationToken,
    thread: Option<JoinHandle<Result<()>>>,
    observed: Observed,
    metrics: Arc<Metrics>,
    stall_max: Duration,
}

impl Agent {
    fn start(site: &Site) -> Agent {
        clock::run_faster(SPEED);
        let inputs = Inputs { config: Some(site.config()), ..Inputs::default() };
        let config = Config::load(&inputs).unwrap();
        let (stop, mut page) = (CancellationToken::new(), metrics::page());
        let observed = Observed::on(&mut page);
        let (seen, cancel, stall_max) = (observed.clone(), stop.clone(), config.wal.stall_max);
        let thread = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let streaming = stream::run(&config, "a-holder", Progress::unseen(), &seen, &cancel);
                tokio::join!(streaming, stream::watch(&config, &seen, &cancel)).0
            })
        });
        let metrics = Arc::new(Metrics::on(page));
        Agent { stop, thread: Some(thread), observed, metrics, stall_max }
    }

    fn told(&self, name: &str) -> Option<f64> {
        let page = self.metrics.page();
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    fn is_stored(&self, cluster: &Cluster) -> bool {
        let sql = "select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')";
        let lsn: f64 = cluster.psql("postgres", sql).parse().unwrap();
        self.told("lifeboat_wal_stored_lsn_bytes").is_some_and(|stored| stored >= lsn)
    }

    fn failures(&self) -> f64 {
        let page = self.metrics.page();
        let lines = page.lines().filter(|line| line.starts_with("lifeboat_wal_failures_total"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An hour of it: how often the agent tried is to be in `tries`.
fn an_hour_of(fault: Fault, tries: std::ops::RangeInclusive<u64>) {
    let settings = [("synchronous_commit", "on"), ("max_slot_wal_keep_size", "1GB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    site.edit("[repository]", "[repository]\nretries_max = 0");
    site.edit("request_timeout = \"2s\"", "request_timeout = \"1s\"");
    let agent = Agent::start(&site);
    cluster.psql("postgres", "create table t (id int)");
    wait_for("the first WAL is stored", || agent.is_stored(&cluster));
    assert_eq!(agent.observed.stalled(agent.stall_max), None);

    let planned = s3.plan(fault);
    let begun = clock::now();
    let failures = agent.failures();
    cluster.psql("postgres", "insert into t select generate_series(1, 300000)");
    while Duration::try_from(clock::now().duration_since(begun)).unwrap() < HOUR {
        std::thread::sleep(Duration::from_millis(100));
        cluster.psql("postgres", "insert into t values (0)");
    }
    let (told, failed) = (agent.observed.stalled(agent.stall_max), (agent.failures() - failures) as u64);
    println!("after an hour: {failed} streams failed, {} requests met the fault: {told:?}", planned.fired());
    assert!(told.is_some_and(|told| told.contains("was stored for")), "nobody is told");
    assert_eq!(agent.told("lifeboat_wal_alarm{alarm=\"stalled\"}"), Some(2.0));
    assert!(tries.contains(&failed), "{failed} tries in an hour");
    assert!(agent.told("lifeboat_wal_lag_bytes").unwrap() > 1e7);
    let kept =
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > 10000000 from pg_replication_slots";
    assert_eq!(cluster.psql("postgres", kept), "t", "WAL does not wait in the slot");
    // Nobody has renewed the lease for an hour.
    let lease = || std::fs::metadata(s3.object("k/instances/prod/wal/lease")).unwrap().modified().unwrap();
    let before = lease();

    s3.faults().clear();
    wait_for("it has caught up", || agent.is_stored(&cluster));
    wait_for("the alarm is over", || agent.told("lifeboat_wal_alarm{alarm=\"stalled\"}") == Some(0.0));
    assert_eq!(agent.observed.stalled(agent.stall_max), None);
    assert!(lease() > before, "the lease was not taken again");
    drop(agent);
    let status = site.run(&["wal", "status", "--json", "--offline"]).run().ok().json();
    assert_eq!(status["timelines"][0]["ranges"].as_array().unwrap().len(), 1, "{status}");
}

// Every request for the instance, so that the lease runs out too. A failing stream is begun again after at
// most 30 s, so an hour has at most some 120 tries, and more than a few.

#[test]
fn it_refuses() {
    an_hour_of(on("*", "/instances/").respond(403), 15..=140);
}

#[test]
fn it_fails() {
    an_hour_of(on("*", "/instances/").respond(503), 15..=140);
}

#[test]
fn it_is_full() {
    an_hour_of(on("PUT", "/instances/").respond(507), 15..=140);
}

#[test]
fn it_hangs() {
    // Each request waits for its time-out, which is real: 1 s is four minutes here.
    an_hour_of(on("*", "/instances/").hang(), 3..=20);
}

#[test]
fn it_crawls() {
    // 100 B/s: a lease needs longer than its time-out.
    an_hour_of(on("PUT", "/instances/").slow(100), 3..=40);
}
