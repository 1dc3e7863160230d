//! Disks that are full: the repository's, and that of the state directory.

use std::fs;

use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::small_disk::SmallDisk;
use lifeboat_tests::{Cluster, skip, small_tenant};

use crate::archive::Archive;
use crate::both_kinds::assert_complete;
use lifeboat_tests::site::Site;

#[test]
fn a_full_repository_loses_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(24 << 20) else { skip!("this user may not mount a small disk") };
    let cluster = Cluster::start_default();
    let site = Site::local_at(&cluster, &disk.path().join("repo"));
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 51);
    site.back_up(&[]);
    let before = Archive::of(&site).ids();
    let noise = Seeded::new(1).noise(40 << 20);
    tenant.upload(&cluster, "too large", &noise);
    for _ in 0..2 {
        let outcome = site.backup(&[]).run().exits(if before.is_empty() { 0 } else { 8 });
        assert!(outcome.stderr.contains("error[no-space]"), "{outcome}");
        assert!(outcome.stderr.contains(&disk.path().display().to_string()), "{outcome}");
        let after = Archive::of(&site).ids();
        assert!(before.iter().all(|id| after.contains(id)));
        assert!(after.iter().all(|id| before.contains(id) || id.as_str().contains("-globals-")), "{after:?}");
    }
    disk.resize(200 << 20);
    site.back_up(&[]);
    assert_complete(&Archive::of(&site), &cluster, &tenant);
    // what the failed ones left behind is not much: no half-written pack stays
    let mut left = Vec::new();
    lifeboat_tests::compare::walk(disk.path(), &mut |path| {
        if path.to_str().is_some_and(|p| p.contains(".tmp") || p.contains("staged")) {
            left.push(path.to_owned());
        }
    });
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_full_state_directory_fails_clean_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(128 << 10) else { skip!("this user may not mount a small disk") };
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 52);
    site.set("LIFEBOAT_STATE_DIR", disk.path().join("state").display());
    site.back_up(&[]);
    let before = Archive::of(&site).ids();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap_err(); // as much as there is
    let outcome = site.backup(&[]).run();
    assert!(matches!(outcome.code, Some(3 | 8)), "{outcome}");
    assert!(outcome.stderr.contains("error[no-space]"), "{outcome}");
    assert!(outcome.stderr.contains(&disk.path().display().to_string()), "{outcome}");
    let after = Archive::of(&site).ids();
    assert!(before.iter().all(|id| after.contains(id)));
    assert!(after.iter().filter(|id| id.as_str().contains("-dump-")).count() == 1, "{after:?}");
    fs::remove_file(&ballast).unwrap();
    site.back_up(&[]);
    assert_complete(&Archive::of(&site), &cluster, &tenant);
}
