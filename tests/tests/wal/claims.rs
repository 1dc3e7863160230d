//! Segments that are stored as whole and are not: older versions took a file that `wal fetch` had filled up
//! with zeros for a segment. They stop neither the stream, nor commits that wait for it, nor a push, nor
//! recovery.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use lifeboat_tests::Cluster;
use lifeboat_tests::children::HANGS;
use lifeboat_tests::site::Site;
use lifeboat_tests::wal_object::store;
use rustix::process::Signal;

use crate::commands::{fetch, name, push};
use crate::partial::{FULL, current, objects, rows};
use crate::recovered::{base_copy, digest, hand_over, recover, restore_command, wait_for};
use crate::streaming::{agent, set, stored, streaming_cluster, streams};

/// The segment that is being written, and the one of it that an older version stored as whole: as far as the
/// agent had stored it, and zeros.
fn claimed(cluster: &Cluster, site: &Site) -> (PathBuf, Vec<u8>, u64) {
    let running = agent(site);
    wait_for("the agent streams", || streams(cluster));
    cluster.psql("postgres", "select pg_switch_wal()");
    rows(cluster, 300);
    stored(cluster);
    running.signal(Signal::TERM);
    running.finish().ok();
    let growing = current(cluster);
    let filled = site.path("filled");
    fetch(site, name(&growing), &filled).ok();
    let filled = fs::read(&filled).unwrap();
    let end = filled.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    assert!((10_000..1 << 20).contains(&end), "{end}");
    (growing, filled, end)
}

#[test]
fn the_stream_goes_on_beside_a_segment_that_is_called_whole_and_is_not() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create table t (n int, filler text)");
    let base = base_copy(&cluster, "base");
    let (growing, filled, _) = claimed(&cluster, &site);
    let segment = name(&growing);
    store(&site, segment, 0, &filled);

    let mut running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    rows(&cluster, 10);
    stored(&cluster);
    let begun = Instant::now();
    set(&cluster, "synchronous_standby_names", "lifeboat");
    rows(&cluster, 1);
    set(&cluster, "synchronous_standby_names", "");
    assert!(begun.elapsed() < HANGS, "a commit waited {:?}", begun.elapsed());
    rows(&cluster, 200_000);
    assert!(current(&cluster) > growing, "the segment is not full");
    stored(&cluster);
    assert!(running.is_running());
    let whole = || objects(&site, segment).iter().filter(|name| name.starts_with(FULL)).count();
    assert_eq!(whole(), 1, "never two objects of the same range");
    // again, from the beginning of what the slot keeps, and by archive_command
    running.signal(Signal::KILL);
    drop(running);
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    stored(&cluster);
    push(&site, &growing).ok();
    push(&site, &growing).ok();
    assert_eq!(whole(), 1);
    running.signal(Signal::TERM);
    running.finish().ok();

    // whoever has the identity takes what goes further
    let back = site.path("back");
    fetch(&site, segment, &back).ok();
    assert!(fs::read(&back).unwrap() == fs::read(&growing).unwrap());
    let before = digest(&cluster, "t");
    hand_over(&site.path(""));
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before, "{}", cluster.log());
}

#[test]
fn what_goes_further_must_agree_with_what_is_called_whole() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create table t (n int, filler text)");
    let (growing, mut filled, _) = claimed(&cluster, &site);
    rows(&cluster, 300);
    push(&site, &growing).ok();
    // in a page's header, where no checksum is: as good a segment, and another one
    filled[8192 + 20] ^= 1;
    let wrong = store(&site, name(&growing), 0, &filled);
    let wrong = wrong.file_name().unwrap().to_str().unwrap();
    let pieces = objects(&site, name(&growing));
    let is_first = |name: &&String| name.starts_with("00000000-") && !name.starts_with(FULL);
    let piece = pieces.iter().find(is_first).unwrap();
    let told = fetch(&site, name(&growing), &site.path("back"));
    assert!(told.code.is_some_and(|code| code > 1), "{told}");
    let told = told.says("is stored twice with different content").says(wrong);
    told.says(piece);
    // nobody who has no identity can store all of it: that a part is wrong can be proven only by opening it
    cluster.psql("postgres", "select pg_switch_wal()");
    push(&site, &growing).exits(17).says("with other content");
}

#[test]
fn a_partial_push_says_where_it_could_not_compare() {
    let cluster = streaming_cluster();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create table t (n int, filler text)");
    rows(&cluster, 300);
    let growing = current(&cluster);
    let early = site.path("early").join(name(&growing));
    fs::create_dir(early.parent().unwrap()).unwrap();
    fs::copy(&growing, &early).unwrap();
    push(&site, &early).ok();
    // what is stored is this very file, as an older version would have it
    let folder = site.path("repo/instances/prod/wal/00000001").join(name(&growing));
    fs::remove_dir_all(&folder).unwrap();
    let same = store(&site, name(&growing), 0, &fs::read(&early).unwrap());
    let told = push(&site, &early).ok();
    assert!(!told.stderr.contains("not compared"), "{told}");
    // it grew: what is called whole is proven to hold less, and the rest is stored
    fs::remove_file(&same).unwrap();
    push(&site, &early).ok();
    let filled = site.path("filled");
    fetch(&site, name(&growing), &filled).ok();
    store(&site, name(&growing), 0, &fs::read(&filled).unwrap());
    rows(&cluster, 300);
    let later = site.path("later").join(name(&growing));
    fs::create_dir(later.parent().unwrap()).unwrap();
    fs::copy(&growing, &later).unwrap();
    assert_eq!(site.run(&["--json", "wal", "push"]).arg(&later).run().ok().json()["stored"], true);
    // the whole one
    fs::remove_dir_all(&folder).unwrap();
    cluster.psql("postgres", "select pg_switch_wal()");
    push(&site, &growing).ok();
    let told = push(&site, &early).ok();
    assert!(told.stderr.contains("was not compared"), "{told}");
    // what is stored of it in a piece is compared, whatever is longer
    let mut other = fs::read(&early).unwrap();
    other[8192 + 20] ^= 1;
    store(&site, name(&growing), 0, &other[..9000]);
    push(&site, &early).exits(17).says("with other content");
}
