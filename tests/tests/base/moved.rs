//! A database that is moved to another tablespace while a base backup reads: PostgreSQL's own base backups
//! leave it without files then, and nobody is told.

use lifeboat_tests::installed::hand_over;

use crate::copy::Copied;
use crate::full::wait_until;
use crate::restore::Archiving;

/// So slow that the database is read seconds after the beginning.
const RATE: &str = "4MiB/s";

#[test]
fn a_database_that_is_moved_meanwhile_is_whole_in_the_backup_both_ways() {
    for source in ["files", "protocol"] {
        println!("{source}");
        moved(source);
    }
}

fn moved(source: &str) {
    let archiving = Archiving::start();
    let cluster = &archiving.cluster;
    let outside = tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    hand_over(outside.path());
    cluster.psql("postgres", &format!("create tablespace north location '{}'", outside.path().display()));
    // read late: base/1, base/16385, base/4, base/5 is the order
    cluster.psql("postgres", "create database filler");
    cluster.psql("postgres", "create database shop");
    cluster.psql("shop", "create table ledger as select g as n from generate_series(1, 1000) g");
    let backup = archiving.lifeboat(&["backup", "--kind", "base", "--json"]);
    let backup = backup.env("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", RATE);
    let running = backup.env("LIFEBOAT_BACKUP_BASE_SOURCE", source).spawn();
    let begun = match source {
        "files" => {
            "select count(*) from pg_stat_activity where query like 'SELECT pg_%backup%' and state = 'idle'"
        }
        _ => "select count(*) from pg_stat_progress_basebackup where phase like 'streaming%'",
    };
    wait_until("files are read", || cluster.psql("postgres", begun) != "0");
    cluster.psql("postgres", "alter database shop set tablespace north");
    let done = running.finish().ok();
    assert!(
        done.stderr.contains("database shop was moved to another tablespace during the base backup"),
        "{done}"
    );

    let copied = Copied::new();
    let place = copied.data_dir().with_file_name("north");
    let map = format!("north={}", place.display());
    let args = ["--to", "immediate", "--start", "--tablespace-map", &map];
    let report = archiving.restore(&copied, &args).run().ok().json();
    copied.started(cluster, report["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(copied.psql("shop", "select count(*) from ledger"), "1000");
    copied.amcheck("shop");
}
