//! kill -9 before and after any request lands; SIGTERM in the middle. Nothing stored is touched,
//! nothing half-made counts, and the next run is complete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lifeboat_tests::children::{HANGS, signal};
use lifeboat_tests::faults::on;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::{Cluster, S3, small_tenant};
use rustix::process::Signal;

use crate::archive::Archive;
use crate::both_kinds::assert_complete;
use lifeboat_tests::site::Site;

/// Signature and manifest of globals, filestore and dump: where a snapshot begins to exist. All
/// of these are tried.
const MANIFESTS: u64 = 6;
/// Other uploads that are tried; `TEST_KILLS=all` tries every one.
const OTHER_POINTS: usize = 6;

fn objects(s3: &S3) -> BTreeMap<String, String> {
    let keys = s3.keys("k/instances/prod/snapshots").into_iter();
    keys.map(|key| (key.clone(), lifeboat_tests::compare::sha256(&s3.object(&key)))).collect()
}

/// Whether there is a signature without its manifest.
fn is_cut_in_its_last_step(objects: &BTreeMap<String, String>) -> bool {
    let signed = objects.keys().filter_map(|key| key.strip_suffix(".sig"));
    signed.into_iter().any(|manifest| !objects.contains_key(manifest))
}

#[test]
fn killed_at_any_request_nothing_is_lost_and_the_next_run_is_complete() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let mut site = Site::s3(&cluster, &s3, "k");
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 41);
    site.set("LIFEBOAT_BACKUP_PACK_BYTES", "2MiB");
    site.back_up(&[]);

    tenant.upload(&cluster, "x", &vec![1; 5 << 20]);
    s3.faults().clear_log();
    site.back_up(&[]);
    let puts = s3.faults().count("PUT", "") as u64;
    assert!(puts > 8, "only {puts} uploads to be killed at");
    let both =
        |count: u64, text: &'static str| (1..=count).flat_map(move |n| [(text, n, false), (text, n, true)]);
    let mut others: Vec<_> = both(puts, "").collect();
    if std::env::var("TEST_KILLS").as_deref() != Ok("all") {
        let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(41);
        println!("seed {seed}: TEST_SEED sets another");
        let mut random = Seeded::new(seed);
        while others.len() > OTHER_POINTS {
            others.swap_remove(random.below(others.len() as u64) as usize);
        }
    }
    let mut untold = true;
    for (text, n, landed) in both(MANIFESTS, "/manifest.json").chain(others) {
        println!("kill -9 at upload {n} of {text:?}, landed: {landed}");
        tenant.upload(&cluster, "x", format!("{text} {n} {landed}").repeat(30_000).as_bytes());
        let before = objects(&s3);
        let victim = Arc::new(AtomicU32::new(0));
        let kill = {
            let victim = victim.clone();
            move |_: &lifeboat_tests::faults::Served| {
                while victim.load(Ordering::SeqCst) == 0 {
                    std::thread::yield_now();
                }
                signal(victim.load(Ordering::SeqCst), Signal::KILL);
            }
        };
        let requests = on("PUT", text).nth(n);
        let planned = s3.plan(if landed { requests.land_and_call(kill) } else { requests.call(kill) });
        let running = site.backup(&[]).spawn();
        victim.store(running.pid(), Ordering::SeqCst);
        let outcome = running.finish();
        s3.faults().clear();
        // a run may have fewer uploads than the one that was counted
        assert!(outcome.signal == Some(9) || (planned.fired() == 0 && outcome.code == Some(0)), "{outcome}");
        let after = objects(&s3);
        assert!(before.iter().all(|(key, sha256)| after.get(key) == Some(sha256)), "something was altered");
        drop(Archive::of(&site)); // every snapshot there is is whole
        let in_last_step = is_cut_in_its_last_step(&after);
        if in_last_step && std::mem::take(&mut untold) {
            let told = site.run(&["verify"]).run().exits(10);
            assert!(told.stdout.contains("the next backup on that host stores it"), "{told}");
        }
        let next = site.backup(&[]).run().ok();
        let said =
            next.stderr.contains("is complete now: an earlier run ended before it stored the manifest");
        assert_eq!(said, in_last_step, "{next}");
        site.run(&["verify"]).run().ok();
        assert_eq!(s3.open_uploads(), 0);
    }
    assert!(!untold, "none was killed in its last step");
    // known files are never read again: had a killed run spoilt one, it would still be missing
    assert_complete(&Archive::of(&site), &cluster, &tenant);
}

#[test]
fn asked_to_stop_it_stops_clean() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 42);
    for (text, nth, signal) in
        [("/packs/", 1, Signal::TERM), ("index.zst.age", 2, Signal::INT), (".sig", 1, Signal::TERM)]
    {
        let held = s3.plan(on("PUT", text).nth(nth).delay(std::time::Duration::from_millis(1500)));
        let running = site.backup(&["--json"]).spawn();
        held.wait_fired();
        running.signal(signal);
        let outcome = running.finish().exits(18).says("stopping");
        assert!(outcome.took < HANGS, "{outcome}");
        s3.faults().clear();
        let archive = Archive::of(&site);
        assert!(archive.ids().iter().all(|id| !id.as_str().contains("-dump-")));
        // the lease was given back
        let other = site.path("other");
        let next = site.backup(&["--kind", "filestore"]).env("LIFEBOAT_STATE_DIR", other.to_str().unwrap());
        next.run().ok();
    }
    site.back_up(&[]);
    assert_complete(&Archive::of(&site), &cluster, &tenant);
    assert_eq!(s3.open_uploads(), 0);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 44);
    for (first, second) in [(Signal::TERM, Signal::INT), (Signal::INT, Signal::TERM)] {
        let held = s3.plan(on("PUT", "/packs/").from(1).hang());
        let running = site.backup(&["--json"]).env("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "2min").spawn();
        held.wait_fired();
        let deadline = std::time::Instant::now() + HANGS;
        running.signal(first);
        while !running.stderr_so_far().contains("once more to stop at once") {
            assert!(std::time::Instant::now() < deadline, "it does not say that it stops");
            std::thread::sleep(lifeboat_tests::children::POLL);
        }
        let begun = std::time::Instant::now();
        running.signal(second);
        let outcome = running.finish().exits(18).says("again: stopping at once");
        // the request that it waits for may take two minutes
        assert!(begun.elapsed() < HANGS, "{outcome}");
        s3.faults().clear();
        assert!(Archive::of(&site).ids().iter().all(|id| !id.as_str().contains("-dump-")));
    }
    site.back_up(&[]);
    assert_complete(&Archive::of(&site), &cluster, &tenant);
}
