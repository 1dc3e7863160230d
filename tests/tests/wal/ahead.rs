//! What is fetched before it is asked for: a fetch leaves a process that fetches what comes next.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_tests::children;
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3};
use rustix::process::Signal;

use crate::archive::{archive_by, archived, archiving_cluster};
use crate::commands::{COULD_NOT_LOOK, fetch, name, push, segment};
use crate::recovered::{base_copy, digest, hand_over, recover, restore_command, shell_command, wait_for};

/// What lies fetched ahead, locks left out, of every place.
fn kept(site: &Site) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let dir = site.path("lifeboat-state/prod/wal/fetched");
    if dir.is_dir() {
        lifeboat_tests::compare::walk(&dir, &mut |path| files.push(path.to_owned()));
    }
    files.retain(|path| path.is_file() && !path.ends_with("lock"));
    files.sort();
    files
}

/// The processes of this site that fetch ahead.
fn fetching_ahead(site: &Site) -> Vec<u32> {
    left_by(site, "--ahead")
}

/// The processes of this site that a call has left, by the flag that it gave them.
pub fn left_by(site: &Site, flag: &str) -> Vec<u32> {
    let (end, dir) = (format!("{flag}\0"), site.path("").display().to_string());
    let of_site = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Their directory only root may see, for they are closed to debuggers.
        line.ends_with(end.as_bytes()) && String::from_utf8_lossy(&line).contains(&dir)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(of_site).collect()
}

/// So many segments, pushed.
fn pushed(cluster: &Cluster, site: &Site, count: usize) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = (0..count).map(|_| segment(cluster, &site.path(""))).collect();
    for path in &paths {
        push(site, path).ok();
    }
    paths
}

fn target(site: &Site, dir: &str) -> PathBuf {
    let dir = site.path(dir);
    fs::create_dir_all(&dir).unwrap();
    dir.join("RECOVERYXLOG")
}

#[test]
fn what_comes_next_is_there_before_it_is_asked_for_and_nothing_stays() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let paths = pushed(&cluster, &site, 12);
    let to = target(&site, "one");
    fetch(&site, name(&paths[0]), &to).ok();
    wait_for("eight are there", || kept(&site).len() == 8 && fetching_ahead(&site).is_empty());
    // Two clusters do not take from each other.
    let other = target(&site, "two");
    fetch(&site, name(&paths[6]), &other).ok();
    wait_for("five more are there", || kept(&site).len() == 13 && fetching_ahead(&site).is_empty());
    // Neither the store nor an identity is needed for what is there.
    fs::rename(site.path("repo"), site.path("away")).unwrap();
    for path in &paths[1..4] {
        fetch(&site, name(path), &to).ok();
        assert_eq!(fs::read(&to).unwrap(), fs::read(path).unwrap());
    }
    assert_eq!(kept(&site).len(), 10, "{:?}", kept(&site));
    // What is damaged is not used.
    let damaged = kept(&site).into_iter().find(|file| name(file).starts_with(name(&paths[4]))).unwrap();
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[12345] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    fetch(&site, name(&paths[4]), &to).exits(COULD_NOT_LOOK + 9);
    fs::rename(site.path("away"), site.path("repo")).unwrap();
    fetch(&site, name(&paths[4]), &to).ok();
    assert_eq!(fs::read(&to).unwrap(), fs::read(&paths[4]).unwrap());
    // Again what it was asked for already, and then on.
    fetch(&site, name(&paths[2]), &to).ok();
    assert_eq!(fs::read(&to).unwrap(), fs::read(&paths[2]).unwrap());
    wait_for("nobody fetches", || fetching_ahead(&site).is_empty());
    // The end: nothing is left of this place, and nothing is taken from the other.
    let end = format!("{:024X}", u128::from_str_radix(name(&paths[11]), 16).unwrap() + 1);
    assert_eq!(fetch(&site, &end, &to).code, Some(1));
    assert_eq!(kept(&site).len(), 5, "{:?}", kept(&site));
    // The end of the other one, at a target: it looks for a timeline that nobody has.
    assert_eq!(fetch(&site, "00000002.history", &other).code, Some(1));
    assert_eq!(kept(&site), [] as [&Path; 0]);
}

#[test]
fn a_process_that_is_killed_while_it_fetches_ahead_leaves_nothing_wrong() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let paths = pushed(&cluster, &site, 5);
    let to = target(&site, "one");
    let behind = format!("/{}/", name(&paths[2]));
    s3.plan(on("GET", &behind).delay(Duration::from_secs(5)));
    fetch(&site, name(&paths[0]), &to).ok();
    wait_for("it fetches ahead", || kept(&site).iter().any(|file| name(file).ends_with(".new")));
    for pid in fetching_ahead(&site) {
        children::signal(pid, Signal::KILL);
    }
    wait_for("it is gone", || fetching_ahead(&site).is_empty());
    s3.faults().clear();
    for path in &paths[1..] {
        fetch(&site, name(path), &to).ok();
        assert_eq!(fs::read(&to).unwrap(), fs::read(path).unwrap(), "{}", name(path));
    }
    wait_for("nobody fetches", || fetching_ahead(&site).is_empty());
    let end = format!("{:024X}", u128::from_str_radix(name(&paths[4]), 16).unwrap() + 1);
    assert_eq!(fetch(&site, &end, &to).code, Some(1));
    assert_eq!(kept(&site), [] as [&Path; 0]);
}

/// Replays an archive, so many segments long: `TEST_REPLAY` sets another number, to measure.
#[test]
fn replay_goes_on_while_the_next_segments_are_fetched() {
    let segments = std::env::var("TEST_REPLAY").map_or(12, |number| number.parse().unwrap());
    let cluster = archiving_cluster();
    let site = Site::local(&cluster);
    hand_over(&site.path(""));
    cluster.psql("postgres", "create table t (id serial primary key, filler text)");
    archive_by(&cluster, &shell_command(&site, "push %p"));
    let base = base_copy(&cluster, "base");
    for _ in 0..segments {
        cluster.psql("postgres", "insert into t (filler) select md5(i::text) from generate_series(1, 60000) i; select pg_switch_wal()");
    }
    archived(&cluster);
    let before = digest(&cluster, "t");
    let begun = Instant::now();
    recover(&cluster, &base, &restore_command(&site));
    println!("{segments} segments replayed in {:?}", begun.elapsed());
    assert_eq!(digest(&cluster, "t"), before);
    wait_for("nothing is left", || kept(&site).is_empty());
}
