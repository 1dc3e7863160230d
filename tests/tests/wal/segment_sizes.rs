//! Clusters whose segments are not 16 MiB: streamed, pushed, fetched, restored.

use std::fs;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options};
use rustix::process::Signal;

use crate::archive::{archive_by, archived};
use crate::commands::{fetch, push};
use crate::recovered::{base_copy, digest, hand_over, recover, restore_command, shell_command, wait_for};
use crate::streaming::{agent, stored, streams};

fn cluster_of(segment_mebibytes: u32) -> Cluster {
    let settings = [
        ("archive_mode", "on"),
        ("archive_command", "true"),
        ("synchronous_commit", "on"),
        ("wal_keep_size", "256MB"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Cluster::with(Options { segment_mebibytes: Some(segment_mebibytes), settings, ..Options::default() })
}

/// Streamed, killed in the middle of a segment, recovered; each segment fetched as the server wrote it.
fn streamed(segment_mebibytes: u32) {
    let cluster = cluster_of(segment_mebibytes);
    let site = Site::local(&cluster);
    let running = agent(&site);
    wait_for("the agent streams", || streams(&cluster));
    let base = base_copy(&cluster, "base");
    cluster.psql(
        "postgres",
        "create table t as select i as id, md5(i::text) as filler from generate_series(1, 150000) i",
    );
    cluster.psql("postgres", "select pg_switch_wal()");
    let last = cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())");
    cluster.psql("postgres", "insert into t values (0, 'the last one')");
    stored(&cluster);
    let status = site.run(&["wal", "status", "--json"]).run().ok().json();
    assert_eq!(status["timelines"][0]["ranges"].as_array().unwrap().len(), 1, "{status}");
    running.signal(Signal::TERM);
    running.finish().ok();
    let wal = cluster.data_dir().join("pg_wal");
    let folder = site.path("repo/instances/prod/wal/00000001");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| *name < last && wal.join(name).exists());
    assert!(!names.is_empty());
    for name in &names {
        let back = site.path("back");
        fetch(&site, name, &back).ok();
        assert!(fs::read(&back).unwrap() == fs::read(wal.join(name)).unwrap(), "{name} is another one");
        // Stored already, by the stream.
        let told = site.run(&["--json", "wal", "push"]).arg(wal.join(name)).run().ok().json();
        assert_eq!(told["stored"], false, "{name}");
    }
    let before = digest(&cluster, "t");
    cluster.kill9();
    hand_over(&site.path(""));
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before, "{}", cluster.log());
}

/// Archived, and brought back by `lifeboat restore` from a base backup.
fn archived_and_restored(segment_mebibytes: u32) {
    let cluster = cluster_of(segment_mebibytes);
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_WAL_STREAM", "false");
    hand_over(&site.path(""));
    archive_by(&cluster, &shell_command(&site, "push %p"));
    archived(&cluster);
    hand_over(&site.path(""));
    site.back_up(&["--kind", "base"]);
    hand_over(&site.path(""));
    cluster.psql("postgres", "create table t as select i as id from generate_series(1, 50000) i");
    archived(&cluster);
    let name = cluster.psql("postgres", "select last_archived_wal from pg_stat_archiver");
    push(&site, &cluster.data_dir().join("pg_wal").join(&name)).ok();
    site.run(&["wal", "status"]).run().ok();
    let to = cluster.data_dir().with_file_name("restored");
    let identity = site.path("lifeboat-identity.txt");
    hand_over(&site.path(""));
    cluster.stop();
    let restore = site.run(&["restore", "--yes", "--to", "latest", "--instance-to"]).arg(&to);
    let restore = restore.args(["--as-production", "--yes-production"]).arg(&to);
    restore.arg("--identity").arg(&identity).run().ok();
    fs::rename(cluster.data_dir(), cluster.data_dir().with_file_name("before")).unwrap();
    fs::rename(&to, cluster.data_dir()).unwrap();
    hand_over(&cluster.data_dir());
    cluster.start_again();
    wait_for("recovery ends", || cluster.psql("postgres", "select pg_is_in_recovery()") == "f");
    assert_eq!(cluster.psql("postgres", "select count(*) from t"), "50000", "{}", cluster.log());
}

#[test]
fn a_mebibyte() {
    streamed(1);
}

#[test]
fn sixty_four_mebibytes() {
    streamed(64);
}

#[test]
fn both_are_archived_and_restored() {
    archived_and_restored(1);
    archived_and_restored(64);
}
