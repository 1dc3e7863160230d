//! archive_command and restore_command of a real server.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options};

use crate::recovered::{base_copy, digest, hand_over, recover, restore_command, shell_command, wait_for};

pub fn archiving_cluster() -> Cluster {
    let settings = [("wal_level", "replica"), ("archive_mode", "on"), ("archive_command", "false")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Cluster::with(Options { settings, ..Options::default() })
}

pub fn archive_by(cluster: &Cluster, command: &str) {
    cluster.psql("postgres", &format!("alter system set archive_command = '{command}'"));
    cluster.psql("postgres", "select pg_reload_conf()");
}

/// Ends the current segment and waits until it is archived.
pub fn archived(cluster: &Cluster) {
    let segment = cluster.switch_wal();
    let sql = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
    wait_for(&format!("{segment} is archived"), || cluster.psql("postgres", &sql) == "t");
}

#[test]
fn everything_archived_is_replayed_from_a_base_copy_and_a_new_timeline_after_it() {
    let cluster = archiving_cluster();
    let site = Site::local(&cluster);
    hand_over(&site.path(""));
    // A backlog first, so that one call takes others along.
    cluster.psql("postgres", "create table t (id serial primary key, filler text)");
    for _ in 0..5 {
        cluster.psql("postgres", "insert into t (filler) select md5(i::text) from generate_series(1, 2000) i; select pg_switch_wal()");
    }
    archive_by(&cluster, &shell_command(&site, "push %p"));
    archived(&cluster);
    let failed = || cluster.psql("postgres", "select failed_count from pg_stat_archiver");
    let failed_before = failed();
    let base = base_copy(&cluster, "base");
    for _ in 0..4 {
        cluster.psql("postgres", "insert into t (filler) select md5(i::text) from generate_series(1, 2000) i; select pg_switch_wal()");
    }
    archived(&cluster);
    assert_eq!(failed(), failed_before);
    let before = digest(&cluster, "t");
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before, "{}", cluster.log());
    assert!(before.starts_with("18000 "), "{before}");

    // It was promoted with archiving off, so nobody archived the new timeline's history.
    let history = cluster.data_dir().join("pg_wal/00000002.history");
    site.run(&["wal", "push"]).arg(history).run().ok();
    hand_over(&site.path(""));
    cluster.psql("postgres", "alter system set archive_mode = 'on'");
    cluster.restart();
    archive_by(&cluster, &shell_command(&site, "push %p"));
    archived(&cluster);
    let second = base_copy(&cluster, "second");
    cluster.psql("postgres", "insert into t (filler) values ('on timeline 2')");
    archived(&cluster);
    let before = digest(&cluster, "t");
    recover(&cluster, &second, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before);
    let wal = site.path("repo/instances/prod/wal");
    assert!(wal.join("history/00000002.history").is_dir());
    assert!(wal.join("00000002").is_dir());
    let backups = std::fs::read_dir(wal.join("00000001")).unwrap().flatten();
    assert!(backups.into_iter().any(|entry| entry.path().extension().is_some_and(|e| e == "backup")));
}

#[test]
fn recovery_stops_and_does_not_end_while_the_store_cannot_be_asked() {
    let cluster = archiving_cluster();
    let site = Site::local(&cluster);
    hand_over(&site.path(""));
    archive_by(&cluster, &shell_command(&site, "push %p"));
    let base = base_copy(&cluster, "base");
    cluster.psql("postgres", "create table t as select 1 as id");
    archived(&cluster);
    let before = digest(&cluster, "t");
    cluster.stop();
    let (repo, away) = (site.path("repo"), site.path("away"));
    std::fs::rename(&repo, &away).unwrap();
    let copy = base.with_extension("copy");
    let copied = std::process::Command::new("cp").arg("-a").arg(&base).arg(&copy).status().unwrap();
    assert!(copied.success());
    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        recover(&cluster, &copy, &restore_command(&site));
    }));
    assert!(tried.is_err(), "the server came up without its WAL");
    assert!(cluster.log().contains("could not restore file"), "{}", cluster.log());
    std::fs::rename(&away, &repo).unwrap();
    recover(&cluster, &base, &restore_command(&site));
    assert_eq!(digest(&cluster, "t"), before);
}
