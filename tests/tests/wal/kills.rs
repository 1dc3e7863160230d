//! kill -9 of the agent, of the server, of both at random moments under write load, commits waiting for the
//! repository: whatever was acknowledged comes back. Five seeds in a normal run; `TEST_KILLS=50` for a night,
//! `TEST_SEED=7` for one of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::site::Site;
use rustix::process::Signal;

use crate::recovered::{base_copy, hand_over, recover, restore_command, wait_for};
use crate::streaming::{agent, set, streaming_cluster, streams};

/// Commits that are acknowledged between two kills, at least.
const COMMITS_BETWEEN: usize = 3;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

#[test]
fn nothing_acknowledged_is_lost_to_kills_of_agent_and_server() {
    let seeds = match number("TEST_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("TEST_KILLS").unwrap_or(5),
    };
    let count = seeds.clone().count();
    let mut failed = Vec::new();
    for seed in seeds {
        println!("seed {seed}: TEST_SEED={seed} runs it alone");
        if catch_unwind(AssertUnwindSafe(|| killed_and_recovered(seed))).is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
}

fn killed_and_recovered(seed: u64) {
    let cluster = Arc::new(streaming_cluster());
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_WAL_PIECE_INTERVAL", "0s");
    cluster.psql("postgres", "create table t (id bigint primary key, filler text)");
    let mut running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    let base = base_copy(&cluster, "base");
    set(&cluster, "synchronous_standby_names", "lifeboat");

    let over = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (cluster, over, acknowledged) = (cluster.clone(), over.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                for n in 0.. {
                    let id = n * 10 + writer;
                    // now and then a large one, so that segments end
                    let length = if n % 7 == 6 { 300_000 } else { 10 };
                    let filler = "string_agg(md5(random()::text), '')";
                    let sql = format!(
                        "insert into t select {id}, {filler} from generate_series(1, {length} / 32 + 1)"
                    );
                    if cluster.try_psql("postgres", &sql).is_ok() {
                        acknowledged.lock().unwrap().push(id);
                    }
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut random = Seeded::new(seed);
    for _ in 0..4 {
        let before = acknowledged.lock().unwrap().len();
        wait_for("commits go on", || acknowledged.lock().unwrap().len() >= before + COMMITS_BETWEEN);
        std::thread::sleep(Duration::from_millis(random.below(700)));
        let what = random.below(3);
        println!("kill -9 of {}", ["the agent", "the server", "both"][what as usize]);
        if what != 1 {
            running.signal(Signal::KILL);
        }
        if what != 0 {
            cluster.kill9();
            cluster.start_again();
        }
        if what != 1 {
            running.finish();
            running = agent(&site);
        }
    }
    over.store(true, Ordering::SeqCst);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    running.signal(Signal::KILL);
    cluster.kill9();
    let outcome = running.finish();
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() >= 4 * COMMITS_BETWEEN, "only {} commits: {outcome}", acknowledged.len());
    hand_over(&site.path(""));
    recover(&cluster, &base, &restore_command(&site));
    let there = cluster.psql("postgres", "select id from t");
    let there: std::collections::HashSet<i64> = there.lines().map(|id| id.parse().unwrap()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "seed {seed}: {} of {} acknowledged commits are lost: {lost:?}\n{}",
        lost.len(),
        acknowledged.len(),
        cluster.log()
    );
    println!("{} acknowledged, {} there", acknowledged.len(), there.len());
}
