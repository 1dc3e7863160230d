//! What a restore refuses before it touches anything, and says so.

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::small_disk::SmallDisk;
use lifeboat_tests::{Cluster, skip, small_tenant};

use crate::{assert_nothing_published, databases, restore};

#[test]
fn a_restore_refuses_what_would_overwrite_or_cannot_work() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&["--release", "r1"]);
    let before = databases(&cluster);
    let says = |args: &[&str], code: i32, text: &str| {
        let outcome = restore(&site, args).run();
        assert_eq!(outcome.code, Some(code), "{args:?}: {}", outcome.stderr);
        assert!(words(&outcome).contains(text), "{args:?}: {}", outcome.stderr);
        assert_eq!(databases(&cluster), before);
        outcome
    };
    says(&["--tenant", "shop", "--as", "shop"], 16, "already exists");
    std::fs::create_dir(site.data_dir().join("filestore/taken")).unwrap();
    std::fs::write(site.data_dir().join("filestore/taken/x"), "mine").unwrap();
    says(&["--tenant", "shop", "--as", "taken"], 16, "not empty");
    assert_eq!(std::fs::read_to_string(site.data_dir().join("filestore/taken/x")).unwrap(), "mine");
    says(&["--tenant", "nobody"], 5, "no dump of nobody");
    says(&["--tenant", "shop", "--release", "r9"], 5, "r9");
    says(&["--tenant", "shop", "--snapshot", "20200101T000000Z-dump-00000000"], 5, "no snapshot");
    says(&["--tenant", "shop", "--as", "x", "--owner", "stranger"], 16, "stranger");
    // No confirmation: nothing happens.
    let unasked =
        site.run(&["restore", "--tenant", "shop", "--identity", "lifeboat-identity.txt", "--as", "x"]).run();
    assert_eq!(unasked.code, Some(16), "{}", unasked.stderr);
    assert_nothing_published(&cluster, &site, &before, "x", &unasked);
    // A dry run shows the plan and makes nothing.
    let plan = restore(&site, &["--tenant", "shop", "--as", "x", "--dry-run"]).run().ok();
    assert!(plan.stdout.contains("creates"), "{}", plan.stdout);
    assert_nothing_published(&cluster, &site, &before, "x", &plan);
    // No identity, the wrong one, one that others can read.
    let none = site.run(&["restore", "--yes", "--tenant", "shop", "--as", "x"]).run();
    assert_eq!(none.code, Some(12), "{}", none.stderr);
    site.run(&["init", "--config", "other/lifeboat.toml", "--instance", "other"]).run().ok();
    let wrong = site
        .run(&[
            "restore",
            "--yes",
            "--tenant",
            "shop",
            "--as",
            "x",
            "--identity",
            "other/lifeboat-identity.txt",
        ])
        .run();
    assert_eq!(wrong.code, Some(12), "{}", wrong.stderr);
    assert_nothing_published(&cluster, &site, &before, "x", &wrong);
    // An untrusted signer.
    let trusted = std::fs::read_to_string(site.config()).unwrap();
    let key = trusted.lines().find(|l| l.contains("ssh-ed25519")).unwrap().to_owned();
    let other = std::fs::read_to_string(site.path("other/lifeboat.toml")).unwrap();
    let other = other.lines().find(|l| l.contains("ssh-ed25519")).unwrap().to_owned();
    site.edit(&key, &other);
    let unsigned = restore(&site, &["--tenant", "shop", "--as", "x"]).run();
    assert!(matches!(unsigned.code, Some(5 | 11)), "{}", unsigned.stderr);
    assert!(words(&unsigned).contains("trusted_keys"), "{}", unsigned.stderr);
    assert_nothing_published(&cluster, &site, &before, "x", &unsigned);
    restore(&site, &["--tenant", "shop", "--as", "x", "--accept-unsigned"]).run().ok();
    // PostgreSQL is down.
    cluster.stop();
    let down = restore(&site, &["--tenant", "shop", "--as", "y", "--accept-unsigned"]).run();
    assert_eq!(down.code, Some(13), "{}", down.stderr);
}

#[test]
fn a_full_disk_on_the_restore_side_is_told_and_a_second_run_succeeds() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 4);
    site.back_up(&[]);
    let Some(disk) = SmallDisk::mount(4 << 20) else { skip!("no small disk can be mounted here") };
    let target = disk.path().join("odoo").display().to_string();
    let before = databases(&cluster);
    let planned = restore(&site, &["--tenant", "shop", "--as", "x", "--data-dir", &target]).run();
    assert_eq!(planned.code, Some(8), "the plan sees it: {}", planned.stderr);
    assert_nothing_published(&cluster, &site, &before, "x", &planned);
    disk.resize(64 << 20);
    restore(&site, &["--tenant", "shop", "--as", "x", "--data-dir", &target]).run().ok();
}
