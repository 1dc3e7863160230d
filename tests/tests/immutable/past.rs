//! The repository as it was: what somebody overwrote, deleted or added later is as if it had not happened.

use std::time::Duration;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, Versioned, small_tenant};

const DAY: i64 = 86_400;

/// A backup of so many days ago, by its host's clock and by the store's; the IDs of dump and filestore.
pub fn back_up(site: &Site, bucket: &Versioned, days: i64) -> (String, String) {
    bucket.set_ahead(-days * DAY);
    let run = site.backup(&["--tenant", "shop", "--json"]).off_by(&format!("-{days}d")).run().ok();
    bucket.set_ahead(0);
    let tenant = &run.json()["tenants"][0];
    let id = |kind: &str| tenant[kind]["id"].as_str().unwrap().to_owned();
    (id("dump"), id("filestore"))
}

/// A time so many seconds ago, as a flag takes it.
pub fn ago(seconds: u64) -> String {
    let at = std::time::SystemTime::now() - Duration::from_secs(seconds);
    jiff::Timestamp::try_from(at).unwrap().round(jiff::Unit::Second).unwrap().to_string()
}

#[test]
fn what_a_thief_overwrote_or_deleted_is_listed_checked_and_restored_as_it_was() {
    let cluster = Cluster::start_default();
    let bucket = Versioned::default();
    let s3 = S3::versioned(&bucket);
    bucket.set_ahead(-9 * DAY);
    let site = Site::s3(&cluster, &s3, "odoo");
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let old = back_up(&site, &bucket, 3);
    let before = ago(2 * DAY as u64);
    let new = back_up(&site, &bucket, 1);

    // He overwrites one half, and deletes the other.
    for (number, key) in bucket.content().keys().enumerate() {
        match number % 2 {
            0 => bucket.write(key, "paid in bitcoin only"),
            _ => bucket.hide(key),
        }
    }
    site.run(&["list"]).run().exits(10);

    let then = |words: &[&str]| site.run(words).args(["--as-of", &before]);
    let listed = then(&["list", "--json"]).run().ok().json();
    let ids: Vec<&str> =
        listed["snapshots"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&old.0.as_str()) && ids.contains(&old.1.as_str()), "{ids:?}");
    assert!(!ids.contains(&new.0.as_str()), "it was not there yet: {ids:?}");
    then(&["verify"]).run().ok();
    assert!(then(&["show", &old.0]).run().ok().stdout.contains("shop"));
    then(&["window"]).run();
    then(&["cat", &old.0, "nothing", "--identity", "lifeboat-identity.txt"]).run().exits(5);

    // An hour ago both were there.
    let newest = ago(3_600);
    let restore = ["restore", "--tenant", "shop", "--as", "shop_back", "--yes"];
    let restore = site.run(&restore).args(["--as-of", &newest, "--identity", "lifeboat-identity.txt"]);
    let page = restore.run().ok();
    assert!(page.stderr.contains(&new.0) && page.stderr.contains("as it was at"), "{page}");
    let count = "select count(*) from ir_attachment";
    assert_eq!(cluster.psql("shop_back", count), cluster.psql("shop", count));

    // Nothing of that is remembered as the present.
    site.run(&["verify"]).run().exits(10);
}

#[test]
fn a_past_that_cannot_be_read_is_refused() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let hour = ago(3_600);
    site.run(&["list", "--as-of", &hour]).run().exits(4).says("cannot be read as it was");
    let (bucket, tomorrow) = (Versioned::default(), ago(0).replace("20", "21"));
    let s3 = S3::versioned(&bucket);
    let site = Site::s3(&cluster, &s3, "odoo");
    site.run(&["list", "--as-of", &tomorrow]).run().exits(2).says("has not come yet");
    site.run(&["list", "--as-of", "2026-11-20 01:02"]).run().exits(2).says("with its zone");
    // Before there was anything.
    site.run(&["list", "--as-of", &hour]).run().exits(9).says("is not a Lifeboat repository");
    bucket.keep_no_versions();
    site.run(&["list", "--as-of", &hour]).run().exits(4).says("keeps no versions");
}
