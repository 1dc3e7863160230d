//! The agent's own memory of the filestore: lost, damaged, outgrown. Nothing wrong is ever stored.

use std::fs;

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::{Cluster, Tenant, damage, small_tenant};

use crate::archive::Archive;
use crate::both_kinds::{assert_complete, on_disk};
use lifeboat_tests::site::Site;

fn filestore_is_complete(site: &Site, tenant: &Tenant) {
    let archive = Archive::of(site);
    let newest = archive.newest(SnapshotKind::Filestore, Some("acme"));
    assert!(archive.contents(newest) == on_disk(tenant));
}

#[test]
fn a_lost_or_damaged_state_gives_a_full_snapshot_that_says_so() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 9);
    let first = site.back_up(&[]);
    assert!(
        first["tenants"][0]["filestore"]["filestore"]["full_because"].is_null(),
        "the first is no surprise"
    );
    let all = on_disk(&tenant).len();

    fs::remove_dir_all(site.path("lifeboat-state")).unwrap();
    let outcome = site.backup(&["--json"]).run().ok().says("reading the whole filestore");
    let facts = &outcome.json()["tenants"][0]["filestore"]["filestore"];
    assert_eq!((facts["new_files"].as_u64(), &facts["complete"]), (Some(all as u64), &true.into()));
    assert!(facts["full_because"].as_str().unwrap().contains("has no record of"), "{facts}");
    assert_complete(&Archive::of(&site), &cluster, &tenant);

    let known = site.known_file("acme");
    let good = fs::read(&known).unwrap();
    let seed = 20_261_120;
    println!("seed {seed}");
    let mut random = Seeded::new(seed);
    let bits = good.len() as u64 * 8;
    let mut places = vec![0, 40, 100 * 8, bits - 1];
    places.extend((0..6).map(|_| random.below(bits)));
    for bit in places {
        fs::write(&known, &good).unwrap();
        damage::flip_bit(&known, bit);
        let report = site.back_up(&["--kind", "filestore"]);
        let facts = &report["tenants"][0]["filestore"]["filestore"];
        // but for bits that zstd's frame header does not use: then nothing is wrong
        assert!(facts["full_because"].is_string() || bit < 64, "bit {bit} of {bits}: {facts}");
        filestore_is_complete(&site, &tenant);
    }
    for bytes in [0, 1, 60, random.below(good.len() as u64), good.len() as u64 - 1] {
        fs::write(&known, &good).unwrap();
        damage::cut(&known, bytes);
        let report = site.back_up(&["--kind", "filestore"]);
        let facts = &report["tenants"][0]["filestore"]["filestore"];
        assert!(facts["full_because"].is_string(), "cut to {bytes}: {facts}");
        filestore_is_complete(&site, &tenant);
    }
    // a state directory of long ago: what came since is read again, and nothing else goes wrong
    fs::write(&known, &good).unwrap();
    tenant.upload(&cluster, "new", b"since then");
    site.back_up(&[]);
    assert_complete(&Archive::of(&site), &cluster, &tenant);
}

#[test]
fn chains_of_indexes_are_consolidated_without_data() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 10);
    site.set("LIFEBOAT_BACKUP_FILESTORE_CHAIN_MAX", 2);
    let mut lengths = Vec::new();
    for n in 0..6_u8 {
        tenant.upload(&cluster, "new", &[n; 3]);
        let gone = on_disk(&tenant).keys().find(|name| name.starts_with("checklist/")).unwrap().clone();
        fs::remove_file(tenant.filestore().path(&gone)).unwrap();
        let report = site.back_up(&["--kind", "filestore"]);
        let manifest = &report["tenants"][0]["filestore"];
        lengths.push(manifest["filestore"]["index_chain"].as_array().unwrap().len());
        let stored = manifest["objects"].as_array().unwrap().len();
        assert!(n == 0 || stored <= 3, "index and new files only: {manifest}");
        assert_eq!(manifest["filestore"]["complete"], lengths.last() == Some(&1));
        filestore_is_complete(&site, &tenant);
    }
    assert_eq!(lengths, [1, 2, 1, 2, 1, 2]);
}
