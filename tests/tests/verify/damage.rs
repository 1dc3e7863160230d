//! Each stored object damaged in turn.

use std::path::{Path, PathBuf};

use lifeboat_tests::damage::{cut, flip_bit, swap};
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};

use crate::{foreign, found, objects, those, verify};

/// One flipped bit at the beginning, in the middle and at the end.
fn flip_everywhere(site: &Site, object: &Path) {
    let whole = std::fs::read(object).unwrap();
    let bits = whole.len() as u64 * 8;
    for bit in [1, bits / 2 + 1, bits - 1] {
        flip_bit(object, bit);
        let outcome = verify(site, &[]);
        assert_ne!(outcome.code, Some(0), "bit {bit} of {} was flipped: {outcome}", object.display());
        let name = object.file_name().unwrap().to_string_lossy().into_owned();
        assert!(words(&outcome).contains(&name), "{} is not named: {outcome}", object.display());
        std::fs::write(object, &whole).unwrap();
    }
}

#[test]
fn one_flipped_bit_in_any_object_is_found_and_named() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&[]);
    site.drill("shop", "").run().ok();
    let sound = verify(&site, &[]).ok();
    assert!(sound.stdout.contains("as it was stored"), "{sound}");
    verify(&site, &["--deep", "--identity", "lifeboat-identity.txt"]).ok();
    let all = objects(&site.stored);
    for kind in ["-dump-", "-filestore-", "-globals-", "/drills/", "instance.json", "lifeboat.json"] {
        those(&all, kind);
    }
    for object in &all {
        flip_everywhere(&site, object);
    }
    // With the key too: in age's header, where it looks like a wrong identity, and behind it.
    for object in those(&all, ".zst.age") {
        let whole = std::fs::read(object).unwrap();
        for bit in [100 * 8, whole.len() as u64 * 4, whole.len() as u64 * 8 - 1] {
            flip_bit(object, bit);
            found(&site, &["--deep", "--identity", "lifeboat-identity.txt"], object);
            std::fs::write(object, &whole).unwrap();
        }
    }
    verify(&site, &[]).ok();
}

#[test]
fn a_wrong_identity_finds_no_damage_and_no_health() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    site.back_up(&[]);
    let other = Site::local(&cluster);
    let identity = other.path("lifeboat-identity.txt").display().to_string();
    let outcome = verify(&site, &["--deep", "--identity", &identity]).exits(12);
    assert!(!outcome.stdout.contains("bad: ") && !outcome.stdout.contains("all of it"), "{outcome}");
    verify(&site, &["--deep"]).exits(12).says("--deep needs an identity, and none is given");
}

#[test]
fn what_is_cut_gone_exchanged_or_foreign_is_found_and_named() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&[]);
    let all = objects(&site.stored);
    let packs: Vec<&PathBuf> = those(&all, "/packs/");
    let whole = std::fs::read(packs[0]).unwrap();
    cut(packs[0], whole.len() as u64 - 1);
    found(&site, &[], packs[0]);
    // A sample looks at everything's size, whatever it reads.
    found(&site, &["--sample", "0.001"], packs[0]);
    std::fs::remove_file(packs[0]).unwrap();
    let gone = found(&site, &[], packs[0]);
    assert!(gone.stdout.contains("it is missing"), "{gone}");
    found(&site, &["--sample", "0.001"], packs[0]);
    std::fs::write(packs[0], &whole).unwrap();
    swap(packs[0], packs[1]);
    found(&site, &[], packs[0]);
    found(&site, &[], packs[1]);
    swap(packs[0], packs[1]);
    let folder = packs[0].parent().unwrap().parent().unwrap();
    let places = [
        folder.join("packs/000099.tar.zst.age"),
        folder.join("manifest.json.bak"),
        folder.with_file_name("stray"),
        site.stored.join("instances/prod/stray"),
    ];
    for place in places {
        std::fs::write(&place, b"x").unwrap();
        foreign(&site, &[], &place, 0);
        std::fs::remove_file(&place).unwrap();
    }
    let signature = those(&all, "manifest.json.sig")[0];
    let whole = std::fs::read(signature).unwrap();
    std::fs::remove_file(signature).unwrap();
    found(&site, &[], &signature.with_file_name("manifest.json"));
    let listed = site.run(&["list"]).run().exits(3);
    assert!(listed.stdout.contains("not believed"), "{listed}");
    site.run(&["list", "--accept-unsigned"]).run().ok();
    std::fs::write(signature, &whole).unwrap();
    verify(&site, &[]).ok();
}
