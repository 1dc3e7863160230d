//! Every object that a restore reads, with one bit flipped, cut, or gone: refused, and nothing is
//! published.

use std::path::{Path, PathBuf};

use lifeboat_tests::damage::{cut, flip_bit};
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, small_tenant};

use crate::{assert_nothing_published, databases, restore};

fn objects(root: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    lifeboat_tests::compare::walk(root, &mut |path| out.push(path.to_owned()));
    out.retain(|p| p.is_file() && !p.to_string_lossy().contains("-globals-"));
    out.retain(|p| {
        p.file_name().is_some_and(|name| name != "lease") && !p.to_string_lossy().contains("probe")
    });
    out.sort();
    out
}

/// Removes what earlier tries fetched and checked: a restore would go on there, and not need the
/// damaged object at all.
fn forget(site: &Site) {
    for entry in std::fs::read_dir(site.data_dir().join("filestore")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "lifeboat-incomplete") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let _ = std::fs::remove_dir_all(site.path("lifeboat-state/restore"));
}

#[test]
fn one_flipped_bit_in_any_object_is_refused() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&[]);
    let before = databases(&cluster);
    let root = site.path("repo");
    let all = objects(&root);
    assert!(all.len() >= 10, "{all:?}");
    for object in &all {
        let whole = std::fs::read(object).unwrap();
        flip_bit(object, whole.len() as u64 * 4 + 1);
        let outcome = restore(&site, &["--tenant", "shop", "--as", "x"]).run();
        assert_ne!(outcome.code, Some(0), "{} was flipped and nobody noticed", object.display());
        assert_nothing_published(&cluster, &site, &before, "x", &outcome);
        std::fs::write(object, &whole).unwrap();
        forget(&site);
    }
    for object in all.iter().filter(|o| o.to_string_lossy().contains("packs")) {
        let whole = std::fs::read(object).unwrap();
        cut(object, whole.len() as u64 - 1);
        let outcome = restore(&site, &["--tenant", "shop", "--as", "x"]).run();
        assert_eq!(outcome.code, Some(10), "{}", outcome.stderr);
        forget(&site);
        std::fs::remove_file(object).unwrap();
        let outcome = restore(&site, &["--tenant", "shop", "--as", "x"]).run();
        assert_ne!(outcome.code, Some(0));
        assert_nothing_published(&cluster, &site, &before, "x", &outcome);
        std::fs::write(object, &whole).unwrap();
        forget(&site);
    }
    restore(&site, &["--tenant", "shop", "--as", "x"]).run().ok();
}

#[test]
fn a_store_that_cuts_fails_or_refuses_ends_in_an_error_or_in_a_whole_restore() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "dr");
    small_tenant(&cluster, &site.data_dir(), "shop", 6);
    site.back_up(&[]);
    let before = databases(&cluster);
    let faults = [
        (on("GET", "packs/").respond(403), 6),
        (on("GET", "packs/").respond(503), 7),
        (on("GET", "packs/").hang(), 7),
        (on("GET", "packs/").flip(1000), 10),
    ];
    for (fault, code) in faults {
        let planned = s3.plan(fault);
        let outcome = restore(&site, &["--tenant", "shop", "--as", "x"]).run();
        assert!(planned.fired() > 0);
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        assert_nothing_published(&cluster, &site, &before, "x", &outcome);
        s3.faults().clear();
    }
    // A body that is cut once is fetched again from where it was cut.
    let planned = s3.plan(on("GET", "packs/").first(1).cut_answer(5000));
    restore(&site, &["--tenant", "shop", "--as", "x"]).run().ok();
    assert!(planned.fired() > 0);
}

/// The database is whole long before it is known that the filestore never will be.
#[test]
fn a_database_is_not_published_before_its_filestore_is_whole() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "dr");
    small_tenant(&cluster, &site.data_dir(), "shop", 12);
    let report = site.back_up(&[]);
    let filestore = report["tenants"][0]["filestore"]["id"].as_str().unwrap();
    let before = databases(&cluster);
    let planned = s3.plan(on("GET", &format!("{filestore}/packs/")).respond(503));
    let patient = restore(&site, &["--tenant", "shop", "--as", "x"]);
    let mut running = patient.env("LIFEBOAT_REPOSITORY_RETRY_DEADLINE", "20s").spawn();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE '%incomplete%'";
    let (mut opened, begun) = (false, std::time::Instant::now());
    while running.is_running() {
        assert_eq!(databases(&cluster), before, "the filestore is not whole, nor can it be");
        opened |= cluster.psql("postgres", sql) != "0";
        assert!(begun.elapsed().as_secs() < 60, "it does not end");
    }
    let outcome = running.finish().exits(7);
    assert!(opened && planned.fired() > 0, "the database was never filled: {outcome}");
    assert_nothing_published(&cluster, &site, &before, "x", &outcome);
    s3.faults().clear();
    restore(&site, &["--tenant", "shop", "--as", "x"]).run().ok();
}
