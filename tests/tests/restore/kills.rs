//! kill -9 in the middle: nothing is published, and the same command run again succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lifeboat_tests::compare::{assert_same_database, assert_same_tree};
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, small_tenant};

use crate::{databases, restore};

#[test]
fn killed_at_any_fetch_or_moment_a_second_run_succeeds() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "dr");
    small_tenant(&cluster, &site.data_dir(), "shop", 11);
    site.back_up(&[]);
    let before = databases(&cluster);
    let args = ["--tenant", "shop", "--as", "x", "--no-neutralize"];
    s3.faults().clear_log();
    let begun = std::time::Instant::now();
    restore(&site, &["--tenant", "shop", "--as", "first", "--no-neutralize"]).run().ok();
    let took = begun.elapsed();
    let gets = s3.faults().count("GET", "") as u64;
    assert!(gets > 5);
    let forget = |name: &str| {
        cluster.psql("postgres", &format!("DROP DATABASE {name}"));
        std::fs::remove_dir_all(site.data_dir().join("filestore").join(name)).unwrap();
    };
    forget("first");
    for nth in [1, gets / 2, gets - 1, gets] {
        let pid = Arc::new(AtomicU32::new(0));
        let shared = pid.clone();
        s3.plan(on("GET", "").nth(nth.max(1)).call(move |_| {
            // The process is asked for before it is known only if it is quicker than its spawning.
            while shared.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            kill(shared.load(Ordering::SeqCst));
        }));
        s3.faults().clear_log();
        let running = restore(&site, &args).spawn();
        pid.store(running.pid(), Ordering::SeqCst);
        let outcome = running.finish();
        let fetched = s3.faults().count("GET", "") as u64;
        s3.faults().clear();
        if outcome.code == Some(0) && fetched < nth {
            forget("x"); // what the killed ones had fetched was not fetched again: it never came to this one
            continue;
        }
        assert_eq!(outcome.code, None, "killed at fetch {nth} of {fetched}: {}", outcome.stderr);
        assert_eq!(databases(&cluster), before, "killed at fetch {nth}");
    }
    for share in [0.35, 0.5, 0.65, 0.8, 0.95] {
        let running = restore(&site, &args).spawn();
        std::thread::sleep(took.mul_f64(share));
        kill(running.pid());
        let outcome = running.finish();
        if outcome.code == Some(0) {
            break; // it was quicker this time: what it published is compared below
        }
        assert_eq!(databases(&cluster), before, "killed after {share} of the time");
    }
    if !databases(&cluster).contains(&"x".to_owned()) {
        restore(&site, &args).run().ok();
    }
    assert_same_database((&cluster, "shop"), (&cluster, "x"));
    let filestores = site.data_dir().join("filestore");
    assert_same_tree(&filestores.join("shop"), &filestores.join("x"));
    let hidden =
        cluster.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%incomplete%'");
    assert_eq!(hidden.trim(), "0", "nothing half-made is left");
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}
