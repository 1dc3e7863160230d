//! kill -9 on a repository in a directory, at every change that the run makes to it: what was
//! stored stays as it was, nothing half exists, and the next run succeeds and verifies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_tests::compare::{sha256, walk};
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Running, small_tenant};

use crate::archive::Archive;
use crate::both_kinds::assert_complete;

/// Changes that are tried; `TEST_KILLS=all` tries every one.
const POINTS: usize = 12;
const RUN_MAX: Duration = Duration::from_secs(60);

fn files(site: &Site) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    walk(&site.stored.join("instances/prod/snapshots"), &mut |path: &Path| {
        if path.is_file() {
            found.insert(path.to_owned(), sha256(path));
        }
    });
    found
}

/// The names below the repository and the state directory. A run makes, renames and removes them.
fn names(site: &Site) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in [site.stored.clone(), site.path("lifeboat-state")] {
        seen(&root, &mut found);
    }
    found.sort();
    found
}

/// Like `walk`, of a tree that changes meanwhile.
fn seen(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            seen(&entry.path(), found);
        }
    }
}

/// Waits for so many changes of names, or for the end; how many there were.
fn changes(site: &Site, running: &mut Running, limit: usize) -> usize {
    let deadline = Instant::now() + RUN_MAX;
    let (mut before, mut count) = (names(site), 0);
    while running.is_running() && count < limit {
        assert!(Instant::now() < deadline, "it still runs");
        let now = names(site);
        if now != before {
            (before, count) = (now, count + 1);
        }
    }
    count
}

#[test]
fn killed_at_any_change_of_a_directory_nothing_is_lost_and_the_next_run_is_complete() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 43);
    site.set("LIFEBOAT_BACKUP_PACK_BYTES", "2MiB");
    site.back_up(&[]);
    tenant.upload(&cluster, "x", &vec![1; 5 << 20]);
    let mut running = site.backup(&[]).spawn();
    let all = changes(&site, &mut running, usize::MAX);
    running.finish().ok();
    assert!(all > 8, "only {all} changes to be killed at"); // a busy machine sees fewer of them

    let mut points: Vec<usize> = (1..=all).collect();
    if std::env::var("TEST_KILLS").as_deref() != Ok("all") {
        let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(43);
        println!("seed {seed}: TEST_SEED sets another");
        let mut random = Seeded::new(seed);
        while points.len() > POINTS {
            points.swap_remove(random.below(points.len() as u64) as usize);
        }
    }
    let mut killed = 0;
    for n in points {
        tenant.upload(&cluster, "x", format!("change {n}").repeat(300_000).as_bytes());
        let before = files(&site);
        let mut running = site.backup(&[]).spawn();
        let seen = changes(&site, &mut running, n);
        let outcome = running.kill9();
        println!("kill -9 after change {seen} of {all}: signal {:?}", outcome.signal);
        // a run that was quicker than the kill must be whole too
        assert!(outcome.signal == Some(9) || outcome.code == Some(0), "{outcome}");
        killed += usize::from(outcome.signal == Some(9));
        let after = files(&site);
        assert!(before.iter().all(|(path, sha256)| after.get(path) == Some(sha256)), "something was altered");
        drop(Archive::of(&site)); // every snapshot there is is whole
        site.back_up(&[]);
        site.run(&["verify"]).run().ok();
    }
    assert!(killed >= 3, "only {killed} runs were killed in time");
    // known files are never read again: had a killed run spoilt one, it would still be missing
    assert_complete(&Archive::of(&site), &cluster, &tenant);
}
