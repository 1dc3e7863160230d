//! What is stored before PostgreSQL asks for it: a push leaves a process that stores what is ready behind it,
//! and the calls that follow find it noted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_tests::children;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3};
use rustix::process::Signal;

use crate::ahead::left_by;
use crate::commands::{fetch, name, push, segment};
use crate::recovered::wait_for;

/// A file that changed in the last seconds is not stored along.
const SETTLED: Duration = Duration::from_millis(3100);

/// So many segments, one behind the other, ready and unchanged for a while.
fn ready(cluster: &Cluster, site: &Site, count: usize) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = (0..count).map(|_| segment(cluster, &site.path(""))).collect();
    for path in &paths {
        let marker = marker(path);
        fs::create_dir_all(marker.parent().unwrap()).unwrap();
        fs::write(marker, "").unwrap();
    }
    std::thread::sleep(SETTLED);
    paths
}

fn marker(path: &Path) -> PathBuf {
    path.with_file_name("archive_status").join(format!("{}.ready", name(path)))
}

fn storing_along(site: &Site) -> Vec<u32> {
    left_by(site, "--along")
}

/// The names of the segments that are noted as stored.
fn noted(site: &Site) -> Vec<String> {
    let mut files = Vec::new();
    let dir = site.path("lifeboat-state/prod/wal/pushed");
    if dir.is_dir() {
        lifeboat_tests::compare::walk(&dir, &mut |path| files.push(path.to_owned()));
    }
    let names = files.iter().filter(|path| path.is_file()).map(|path| name(path).to_owned());
    let mut names: Vec<String> = names.filter(|name| name.len() == 24).collect();
    names.sort();
    names
}

/// What the repository, a directory, holds of a segment.
fn objects(site: &Site, segment: &str) -> usize {
    let folder = site.path("repo/instances/prod/wal").join(&segment[..8]).join(segment);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| name(&entry.path()).ends_with(".zst.age")).count()
}

#[test]
fn each_segment_is_stored_once_whoever_stores_it() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "k");
    let paths = ready(&cluster, &site, 20);
    let mut by_the_call = 0;
    for path in &paths {
        let told = site.run(&["--json", "wal", "push"]).arg(path).run().ok().json();
        by_the_call += usize::from(told["stored"] == true);
        fs::remove_file(marker(path)).unwrap();
    }
    assert_eq!(s3.faults().count("PUT", "/wal/0"), 20);
    assert!(by_the_call <= 5, "{by_the_call} of 20 were stored by the call that asked for them");
    wait_for("nobody stores", || storing_along(&site).is_empty());
    assert_eq!(noted(&site), [] as [&str; 0]);
    let back = site.path("back");
    for path in &paths {
        fetch(&site, name(path), &back).ok();
        assert_eq!(fs::read(&back).unwrap(), fs::read(path).unwrap(), "{}", name(path));
    }
}

#[test]
fn what_is_noted_needs_neither_store_nor_keys_and_what_has_changed_is_looked_at_again() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let paths = ready(&cluster, &site, 12);
    push(&site, &paths[0]).ok();
    wait_for("eight are noted", || noted(&site).len() == 8);
    wait_for("it waits no longer for anybody to come", || storing_along(&site).is_empty());
    for segment in noted(&site) {
        assert_eq!(objects(&site, &segment), 1, "{segment}");
    }
    let away = [("repo", "repo.away"), ("lifeboat-signing-key", "key.away")];
    for (from, to) in away {
        fs::rename(site.path(from), site.path(to)).unwrap();
    }
    for path in &paths[1..4] {
        push(&site, path).ok();
    }
    assert_ne!(push(&site, &paths[1]).code, Some(0), "it was asked for already, and is to be looked up");
    // another content of the same length
    let mut bytes = fs::read(&paths[4]).unwrap();
    bytes[12345] ^= 1;
    fs::write(&paths[4], &bytes).unwrap();
    assert_ne!(push(&site, &paths[4]).code, Some(0));
    for (to, from) in away {
        fs::rename(site.path(from), site.path(to)).unwrap();
    }
    push(&site, &paths[4]).exits(17).says("with other content");
    std::thread::sleep(SETTLED);
    push(&site, &paths[4]).exits(17);
    push(&site, &paths[1]).ok();
    wait_for("nobody stores", || storing_along(&site).is_empty());
    assert_eq!(objects(&site, name(&paths[1])), 1);
}

#[test]
fn killed_at_any_moment_it_has_noted_only_what_is_there_and_the_next_call_goes_on() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_WAL_BATCH", "3"); // so that one process is not enough for all
    let paths = ready(&cluster, &site, 16);
    let mut rest = paths.as_slice();
    let mut killed = 0;
    while let Some((path, behind)) = rest.split_first() {
        push(&site, path).ok();
        fs::remove_file(marker(path)).unwrap();
        rest = behind;
        // sooner and later after its beginning
        std::thread::sleep(Duration::from_millis(37 * killed % 150));
        for process in storing_along(&site) {
            children::signal(process, Signal::KILL);
            killed += 1;
        }
        wait_for("it is gone", || storing_along(&site).is_empty());
        for segment in noted(&site) {
            assert_eq!(objects(&site, &segment), 1, "{segment} is noted");
        }
    }
    assert!(killed > 2, "{killed}");
    let back = site.path("back");
    for path in &paths {
        fetch(&site, name(path), &back).ok();
        assert_eq!(fs::read(&back).unwrap(), fs::read(path).unwrap(), "{}", name(path));
    }
}
