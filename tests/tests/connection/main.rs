//! One connection, the same for Lifeboat and for PostgreSQL's programs: what stands between, what the server
//! is told and by whom, how it refuses, and what happens to a statement that is given up.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

mod completeness;
mod german;
mod locks;
mod pooler;
mod refusals;
mod role_settings;
mod stopping;
mod tls;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program};

/// `lifeboat doctor`, both columns of each check that did not come out well.
fn doctor(site: &Site) -> String {
    let outcome = site.run(&["doctor", "--json"]).run();
    let report = outcome.json();
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["status"] != "ok");
    checks.map(|check| format!("{} {} {}\n", check["name"], check["text"], check["next"])).collect()
}

/// A restore with the identity that `init` made, not asked for.
fn restore(site: &Site, args: &[&str]) -> Program {
    site.run(&["restore", "--yes", "--identity", "lifeboat-identity.txt"]).args(args.to_vec())
}

/// Waits until SQL says `t`.
#[track_caller]
fn until(cluster: &Cluster, sql: &str) {
    let begun = std::time::Instant::now();
    while cluster.psql("postgres", sql) != "t" {
        assert!(begun.elapsed().as_secs() < 60, "it never came: {sql}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// A session of this test's own, which ends when it is dropped.
struct Holder(std::process::Child);

impl Holder {
    /// Runs SQL in a transaction that stays open.
    fn begin(cluster: &Cluster, database: &str, sql: &str) -> Holder {
        use std::io::Write;
        let mut psql = cluster.client("psql");
        psql.args(["-XAtq", "-d", database]).env("PGAPPNAME", "holder").stdin(std::process::Stdio::piped());
        let mut child = psql.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(format!("begin; {sql};\n").as_bytes()).unwrap();
        until(
            cluster,
            "select exists (select from pg_stat_activity where application_name = 'holder' \
             and state = 'idle in transaction')",
        );
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[track_caller]
fn assert_both_say(outcomes: &[Outcome], text: &str) {
    for outcome in outcomes {
        assert!(lifeboat_tests::site::words(outcome).contains(text), "{text:?} is not in {outcome}");
    }
}
