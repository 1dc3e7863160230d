//! After a promotion `status` and `window` tell how far recovery goes without an identity; of what an older
//! version stored they say that it is not known.

use std::fs;

use lifeboat_tests::Cluster;
use lifeboat_tests::site::{Site, words};

use crate::words::{push, segment};

#[test]
fn where_recovery_goes_after_a_promotion_is_told_without_an_identity() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
    cluster.psql("postgres", "select pg_reload_conf()");
    let site = Site::local(&cluster);
    site.back_up(&["--kind", "base"]);
    push(&site, &segment(&cluster));
    cluster.stop();
    fs::write(cluster.data_dir().join("standby.signal"), "").unwrap();
    cluster.start_again();
    cluster.psql("postgres", "select pg_promote()");
    let pg_wal = cluster.data_dir().join("pg_wal");
    push(&site, &pg_wal.join("00000002.history"));
    let new = segment(&cluster);
    assert!(new.file_name().unwrap().to_string_lossy().starts_with("00000002"), "{new:?}");
    // What of the old timeline lies between: PostgreSQL copied its last segment to the new one.
    push(&site, &new);

    let status = site.run(&["status", "--json"]).run().json();
    let wal = &status["cluster"]["wal"];
    assert_eq!((wal["timeline"].as_str(), wal["broken"].is_null()), (Some("00000002"), true), "{status}");
    let window = site.run(&["window"]).run().ok();
    assert!(window.stdout.contains("timeline 2"), "{window}");

    // as an older version stored it
    let history = site.stored.join("instances/prod/wal/history/00000002.history");
    let lineage = fs::read_dir(&history).unwrap().map(|entry| entry.unwrap().path());
    let lineage = lineage.filter(|path| path.to_string_lossy().contains("ancestors-")).collect::<Vec<_>>();
    assert_eq!(lineage.len(), 1);
    let kept = fs::read(&lineage[0]).unwrap();
    fs::remove_file(&lineage[0]).unwrap();
    let status = site.run(&["status"]).run().exits(3);
    assert!(status.stdout.contains("where timeline 2 began is not known without an identity"), "{status}");
    assert!(!status.stdout.contains("--dry-run"), "{status}");
    let (rescued, identity) = (site.path("rescued"), site.path("lifeboat-identity.txt"));
    let restore =
        site.run(&["restore", "--dry-run", "--instance-to"]).arg(&rescued).arg("--identity").arg(&identity);
    let plan = restore.run().ok();
    assert!(words(&plan).contains("timeline 2"), "the history itself is still read: {plan}");

    // what nobody signed tells nothing, and verify names it
    let forged = String::from_utf8(kept).unwrap().replacen("\"until\":\"", "\"until\":\"F", 1);
    fs::write(&lineage[0], forged).unwrap();
    let status = site.run(&["status"]).run().exits(3);
    assert!(status.stdout.contains("is not known without an identity"), "{status}");
    let verify = site.run(&["verify"]).run().exits(3);
    assert!(words(&verify).contains("it tells nothing of timeline 2"), "{verify}");
    let aside = restore_timeline(&site, "1");
    assert!(words(&aside).contains("timeline 1"), "{aside}");
}

/// A plan with a timeline as plans print it.
fn restore_timeline(site: &Site, timeline: &str) -> lifeboat_tests::Outcome {
    let (rescued, identity) = (site.path("rescued"), site.path("lifeboat-identity.txt"));
    let restore =
        site.run(&["restore", "--dry-run", "--instance-to"]).arg(&rescued).arg("--identity").arg(&identity);
    restore.args(["--timeline", timeline]).run().ok()
}
