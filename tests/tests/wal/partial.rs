//! What is not whole is never stored as whole: segments that are being written, that `wal fetch` filled up,
//! that were damaged; by hand, and by a standby that archives what it fetched.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::Cluster;
use lifeboat_tests::site::Site;
use rustix::process::Signal;

use crate::archive::{archive_by, archived, archiving_cluster};
use crate::commands::{fetch, name, push};
use crate::copy::Copied;
use crate::recovered::{base_copy, digest, hand_over, recover, restore_command, shell_command, wait_for};
use crate::streaming::{agent, set, stored, streaming_cluster, streams};

pub const FULL: &str = "00000000-01000000-";

/// The segment that is being written, in `pg_wal`.
pub fn current(cluster: &Cluster) -> PathBuf {
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())");
    cluster.data_dir().join("pg_wal").join(name)
}

/// The objects of a segment of timeline 1.
pub fn objects(site: &Site, segment: &str) -> Vec<String> {
    let entries = fs::read_dir(site.path("repo/instances/prod/wal/00000001").join(segment));
    let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".age")).collect()
}

fn stop(running: lifeboat_tests::Running) {
    running.signal(Signal::TERM);
    running.finish().ok();
}

pub fn rows(cluster: &Cluster, count: u32) {
    // waits for its WAL to be written, unlike other commits of these servers: `current` asks how far that is
    let sql = format!(
        "set synchronous_commit = on; insert into t select g, md5(g::text) from generate_series(1, {count}) g"
    );
    cluster.psql("postgres", &sql);
}

/// The end of what `wal status` calls stored.
fn end(site: &Site) -> String {
    let status = site.run(&["wal", "status", "--json", "--offline"]).run().ok().json();
    let ranges = status["timelines"][0]["ranges"].as_array().unwrap();
    ranges.last().unwrap()["end"].as_str().unwrap().to_owned()
}

#[test]
fn a_segment_that_grows_is_a_range_and_the_stream_and_the_whole_one_complete_it() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create table t (n int, filler text)");
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    let base = base_copy(&cluster, "base");
    cluster.psql("postgres", "select pg_switch_wal()");
    rows(&cluster, 10);
    stored(&cluster);
    stop(running);
    rows(&cluster, 500);
    let growing = current(&cluster);
    let flushed = cluster.psql("postgres", "select pg_current_wal_flush_lsn()");
    let told = site.run(&["--json", "wal", "push"]).arg(&growing).run().ok().says("is not whole");
    let told = told.json();
    let partial_end = told["partial_end"].as_str().unwrap().to_owned();
    let is_before = format!("select '{partial_end}'::pg_lsn between '{flushed}' and pg_current_wal_lsn()");
    assert_eq!(cluster.psql("postgres", &is_before), "t", "{partial_end}, flushed {flushed}");
    assert_eq!((told["stored"].as_bool(), end(&site)), (Some(true), partial_end), "{told}");
    assert_eq!(site.run(&["--json", "wal", "push"]).arg(&growing).run().ok().json()["stored"], false);
    let folder = name(&growing);
    assert!(
        objects(&site, folder).iter().all(|name| !name.starts_with(FULL)),
        "{:?}",
        objects(&site, folder)
    );

    // a copy of it as it was at that moment
    let early = site.path("early").join(folder);
    fs::create_dir(early.parent().unwrap()).unwrap();
    fs::copy(&growing, &early).unwrap();

    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    rows(&cluster, 300);
    stored(&cluster);
    let status = site.run(&["wal", "status", "--json"]).env("LIFEBOAT_WAL_STREAM", "true").run().ok().json();
    assert!(status["server"]["behind_bytes"].as_u64().unwrap() < 100_000, "{status}");
    // commits that wait for the repository
    set(&cluster, "synchronous_standby_names", "lifeboat");
    rows(&cluster, 1);
    set(&cluster, "synchronous_standby_names", "");
    rows(&cluster, 300_000);
    stored(&cluster);
    wait_for("it is one object as well", || objects(&site, folder).iter().any(|name| name.starts_with(FULL)));
    assert_eq!(site.run(&["--json", "wal", "push"]).arg(&early).run().ok().json()["stored"], false);
    let whole = site.run(&["--json", "wal", "push"]).arg(&growing).run().ok().json();
    assert_eq!((whole["stored"].as_bool(), whole["partial_end"].as_str()), (Some(false), None));
    let before = digest(&cluster, "t");
    stop(running);
    hand_over(&site.path(""));
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before, "{}", cluster.log());
}

#[test]
fn a_range_that_was_pushed_is_completed_by_the_whole_segment_and_other_bytes_are_refused() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create table t (n int, filler text)");
    rows(&cluster, 300);
    let growing = current(&cluster);
    push(&site, &growing).ok().says("is not whole");
    rows(&cluster, 300);
    push(&site, &growing).ok().says("is not whole");
    assert_eq!(objects(&site, name(&growing)).len(), 2, "the second holds what came since");
    cluster.psql("postgres", "select pg_switch_wal()");
    // another server's, from where this one was
    let other = site.path("other").join(name(&growing));
    fs::create_dir(other.parent().unwrap()).unwrap();
    let mut bytes = fs::read(&growing).unwrap();
    bytes[200] ^= 1;
    fs::write(&other, &bytes).unwrap();
    push(&site, &other).exits(17).says("with other content");
    let told = site.run(&["--json", "wal", "push"]).arg(&growing).run().ok().json();
    assert_eq!((told["stored"].as_bool(), told["partial_end"].as_str()), (Some(true), None));
    let back = site.path("back");
    fetch(&site, name(&growing), &back).ok();
    assert_eq!(fs::read(&back).unwrap(), fs::read(&growing).unwrap());
}

/// A copy of a segment that is full to its last byte, alone in a folder, and the one after it.
fn full(cluster: &Cluster, dir: &Path) -> (PathBuf, PathBuf) {
    let segment = current(cluster);
    while current(cluster) <= segment {
        rows(cluster, 20_000);
    }
    fs::create_dir(dir).unwrap();
    let copy = dir.join(name(&segment));
    fs::copy(&segment, &copy).unwrap();
    (copy, current(cluster))
}

#[test]
fn the_server_says_when_a_full_segment_is_finished_and_damage_in_it_is_refused() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create table t (n int, filler text)");
    let (alone, next) = full(&cluster, &site.path("alone"));
    // its last record goes on in a segment that is not there: the rest may not have been written
    let told = site.run(&["--json", "wal", "push"]).arg(&alone).run().ok().json();
    let is_last = format!(
        "select '{}'::pg_lsn > pg_current_wal_lsn() - 33554432",
        told["partial_end"].as_str().unwrap()
    );
    assert_eq!(cluster.psql("postgres", &is_last), "t", "{told}");
    fs::copy(&next, alone.with_file_name(name(&next))).unwrap();
    assert_eq!(
        site.run(&["--json", "wal", "push"]).arg(&alone).run().ok().json()["partial_end"],
        serde_json::Value::Null
    );
    let back = site.path("back");
    fetch(&site, name(&alone), &back).ok();
    assert_eq!(fs::read(&back).unwrap(), fs::read(&alone).unwrap());

    let (second, next) = full(&cluster, &site.path("second"));
    let whole = fs::read(&second).unwrap();
    let mut flipped = whole.clone();
    flipped[5_000_000] ^= 1;
    fs::write(&second, &flipped).unwrap();
    // being written, for all that can be known: what is before the damage is stored
    push(&site, &second).ok().says("is not whole");
    fs::copy(&next, second.with_file_name(name(&next))).unwrap();
    push(&site, &second).exits(10).says("is damaged: its WAL records end at").says("take a base backup now");
    // a file that was used again: the rest of an older segment behind the end
    let mut used_again = whole.clone();
    used_again[8 << 20..].copy_from_slice(&fs::read(&alone).unwrap()[8 << 20..]);
    fs::remove_file(second.with_file_name(name(&next))).unwrap();
    fs::write(&second, &used_again).unwrap();
    push(&site, &second).ok().says("is not whole");
    // the marker of the archiver is as good as the next segment
    fs::write(&second, &whole).unwrap();
    fs::create_dir(second.with_file_name("archive_status")).unwrap();
    fs::write(second.with_file_name("archive_status").join(format!("{}.ready", name(&second))), "").unwrap();
    assert_eq!(
        site.run(&["--json", "wal", "push"]).arg(&second).run().ok().json()["partial_end"],
        serde_json::Value::Null
    );
    fetch(&site, name(&second), &back).ok();
    assert!(fs::read(&back).unwrap() == whole);
}

/// Starts a standby on a base copy: it takes its WAL from the repository, and archives all of it there.
fn standby(cluster: &Cluster, base: &Path, site: &Site) -> Copied {
    let standby = Copied::new();
    fs::rename(base, standby.data_dir()).unwrap();
    fs::write(standby.data_dir().join("standby.signal"), "").unwrap();
    let conf = standby.data_dir().join("postgresql.auto.conf");
    let text = format!(
        "listen_addresses = ''\nport = 5432\nunix_socket_directories = '{}'\narchive_mode = 'always'\n\
         archive_command = '{}'\nrestore_command = '{}'\n",
        standby.socket().display(),
        shell_command(site, "push %p"),
        restore_command(site)
    );
    fs::write(&conf, fs::read_to_string(&conf).unwrap() + &text).unwrap();
    hand_over(standby.data_dir());
    standby.start_as_it_is(cluster);
    standby
}

#[test]
fn a_standby_that_archives_what_it_fetched_stores_no_segment_that_is_not_whole() {
    let cluster = archiving_cluster();
    let site = Site::local(&cluster);
    hand_over(&site.path(""));
    archive_by(&cluster, &shell_command(&site, "push %p"));
    cluster.psql("postgres", "create table t (n int, filler text)");
    let (base, second) = (base_copy(&cluster, "base"), base_copy(&cluster, "second"));
    archived(&cluster);
    rows(&cluster, 500);
    let growing = current(&cluster);
    push(&site, &growing).ok().says("is not whole");
    hand_over(&site.path(""));
    let standby = standby(&cluster, &second, &site);
    let done = standby.data_dir().join("pg_wal/archive_status").join(format!("{}.done", name(&growing)));
    wait_for("the standby archived what it fetched", || done.exists());
    assert!(standby.log().contains("is not whole"), "{}", standby.log());
    assert!(objects(&site, name(&growing)).iter().all(|name| !name.starts_with(FULL)));
    rows(&cluster, 500);
    archived(&cluster);
    assert!(objects(&site, name(&growing)).iter().any(|name| name.starts_with(FULL)));
    // the standby reads on, and takes over
    wait_for("the standby has all", || standby.psql("postgres", "select count(*) from t") == "1000");
    standby.psql("postgres", "select pg_promote()");
    standby.psql("postgres", "insert into t values (0, 'on timeline 2')");
    standby.psql("postgres", "select pg_switch_wal()");
    let last =
        "select last_archived_wal > '000000020000000000000000' and failed_count = 0 from pg_stat_archiver";
    wait_for("timeline 2 is archived", || standby.psql("postgres", last) == "t");
    drop(standby);
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(cluster.psql("postgres", "select count(*) from t"), "1001", "{}", cluster.log());
}
