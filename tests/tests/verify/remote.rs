//! A bucket that refuses, is silent or breaks off: what could not be looked at is said to be that,
//! with an exit code of its own; never missing, never right.

use std::time::Duration;

use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, S3, small_tenant};

use crate::{foreign, found, objects, those, verify};

#[track_caller]
fn not_known(outcome: &Outcome, text: &str) {
    assert!(outcome.stdout.contains(&format!("not checked: instances/prod/{text}")), "{outcome}");
    for wrong in ["bad: ", "missing", "all of it", "gone", "foreign"] {
        assert!(!outcome.stdout.contains(wrong), "{wrong:?} is said: {outcome}");
    }
}

#[test]
fn what_the_store_does_not_hand_out_is_not_checked_and_neither_missing_nor_right() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "dr");
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&[]);
    site.drill("shop", "").run().ok();
    let sound = verify(&site, &[]).ok();
    assert!(sound.stdout.contains("all of it"), "{sound}");
    let all = objects(&site.stored);
    assert!(site.stored.join("instances/prod/lease").is_file(), "on S3 the lease is an object");

    let faults = [
        (on("GET", "packs/").nth(1).respond(403), 6, "snapshots/"),
        (on("GET", "manifest.json").nth(1).respond(403), 6, "snapshots/"),
        (on("GET", "report.md").respond(403), 6, "drills/"),
        (on("GET", "report.json").respond(403), 6, "drills/"),
        (on("GET", "baseline").hang(), 7, "snapshots/"),
        (on("GET", "index.zst.age").respond(503), 7, "snapshots/"),
        (on("GET", "report.json").hang(), 7, "drills/"),
    ];
    for (fault, code, place) in faults {
        let what = format!("{fault:?}");
        let planned = s3.plan(fault);
        let outcome = verify(&site, &[]).exits(code);
        assert!(planned.fired() > 0, "{what}");
        not_known(&outcome, place);
        assert!(outcome.took < Duration::from_secs(60), "{outcome}");
        s3.faults().clear();
    }
    // With the key it is the same.
    let planned = s3.plan(on("GET", "packs/").respond(403));
    not_known(&verify(&site, &["--deep", "--identity", "lifeboat-identity.txt"]).exits(6), "snapshots/");
    assert!(planned.fired() > 0);
    s3.faults().clear();
    // What cannot be listed, nothing is known of.
    let planned = s3.plan(on("GET", "list-type").respond(403));
    verify(&site, &[]).exits(6).says("nothing is known of what is stored");
    assert!(planned.fired() > 0);
    s3.faults().clear();
    // Damage counts more than what could not be asked, and both are said.
    let pack =
        those(&all, "-filestore-").into_iter().find(|p| p.to_string_lossy().contains("packs")).unwrap();
    let whole = std::fs::read(pack).unwrap();
    std::fs::remove_file(pack).unwrap();
    let planned = s3.plan(on("GET", "baseline").respond(403));
    let outcome = found(&site, &[], pack);
    assert!(planned.fired() > 0);
    assert!(outcome.stdout.contains("it is missing"), "{outcome}");
    assert!(outcome.stdout.contains("not checked: instances/prod/snapshots/"), "{outcome}");
    std::fs::write(pack, whole).unwrap();
    s3.faults().clear();
    // A body that breaks off is fetched on from there.
    let planned = s3.plan(on("GET", "packs/").first(1).cut_answer(3000));
    verify(&site, &[]).ok();
    assert!(planned.fired() > 0);
}

#[test]
fn a_store_that_falls_silent_is_not_waited_for_object_by_object() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "dr");
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    for _ in 0..3 {
        site.back_up(&[]);
    }
    let planned = s3.plan(on("GET", ".zst.age").hang());
    let outcome = verify(&site, &["--workers", "2"]).exits(7);
    assert!(planned.fired() > 0);
    not_known(&outcome, "snapshots/");
    // Two at a time, each until its deadline of 4 s, and no more than a few of some 20.
    assert!(outcome.took < Duration::from_secs(25), "{outcome}");
    assert!(outcome.stdout.matches("not checked: instances").count() <= 4, "{outcome}");
}

#[test]
fn in_a_bucket_too_what_nobody_signed_for_is_found_and_the_lease_is_not() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "dr");
    small_tenant(&cluster, &site.data_dir(), "shop", 2);
    site.back_up(&[]);
    let all = objects(&site.stored);
    let beside = those(&all, "packs/")[0].with_file_name("000042.tar.zst.age");
    for place in [
        beside,
        site.stored.join("instances/prod/snapshots/note.txt"),
        site.stored.join("instances/prod/note"),
    ] {
        std::fs::write(&place, "x").unwrap();
        foreign(&site, &[], &place, 0);
        std::fs::remove_file(&place).unwrap();
    }
    // The lease is ours, and garbage in it is said: the next backup would fail on it.
    let lease = site.stored.join("instances/prod/lease");
    std::fs::write(&lease, "{").unwrap();
    found(&site, &[], &lease);
}
