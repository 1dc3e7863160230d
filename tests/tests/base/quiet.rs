//! Production feels little of a base backup: low priority of every thread, and a bound on how fast is read.

use std::fs;

use lifeboat_tests::Cluster;
use lifeboat_tests::site::Site;

use crate::full::{ledger, wait_until};

/// The nice value in a line of `/proc/<pid>/stat`: the 17th field behind the name.
fn nice(stat: &str) -> i32 {
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[test]
fn every_thread_of_a_base_backup_stands_back() {
    let ours = nice(&fs::read_to_string("/proc/self/stat").unwrap());
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_BACKUP_LOW_PRIORITY", "true");
    site.set("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "4MiB/s");
    for source in ["files", "protocol"] {
        site.set("LIFEBOAT_BACKUP_BASE_SOURCE", source);
        let running = site.backup(&["--kind", "base"]).spawn();
        let slots = "select count(*) from pg_replication_slots where slot_name like 'lifeboat_base%'";
        wait_until("the backup began", || cluster.psql("postgres", slots) == "1");
        let packs = || {
            fs::read_dir(site.stored.join("instances/prod/snapshots"))
                .is_ok_and(|mut dir| dir.next().is_some())
        };
        wait_until("it stores", packs);
        let tasks = fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
        let stats = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok());
        let nices: Vec<i32> = stats.map(|stat| nice(&stat)).collect();
        assert!(nices.len() > 4, "{nices:?}");
        assert!(nices.iter().all(|nice| *nice == (ours + 10).min(19)), "{source}: {nices:?}");
        running.kill9();
        wait_until("it is gone", || cluster.psql("postgres", slots) == "0");
        fs::remove_dir_all(site.stored.join("instances/prod/snapshots")).unwrap();
    }
}

#[test]
fn the_reading_rate_bounds_both_ways() {
    let cluster = Cluster::start_default();
    ledger(&cluster, "shop");
    let mut site = Site::local(&cluster);
    site.set("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "20MiB/s");
    for source in ["files", "protocol"] {
        site.set("LIFEBOAT_BACKUP_BASE_SOURCE", source);
        let report = site.back_up(&["--kind", "base"]);
        let (bytes, seconds) = (report["read_bytes"].as_f64().unwrap(), report["seconds"].as_f64().unwrap());
        let least = bytes / f64::from(20 << 20);
        assert!(bytes > f64::from(50 << 20), "{bytes}");
        // a burst of a quarter of a second, once for the files and once for the WAL
        assert!(seconds > least - 0.6, "{source}: {bytes} bytes in {seconds} s, {least} at the least");
    }
}
