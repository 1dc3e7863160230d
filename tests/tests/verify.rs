//! `lifeboat verify` and `lifeboat list` over a real backup, each stored object damaged in turn:
//! whatever is not as it was signed is found and named.

use std::path::{Path, PathBuf};

use lifeboat_tests::damage::{cut, flip_bit, swap};
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};

fn objects(root: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    lifeboat_tests::compare::walk(root, &mut |path| out.push(path.to_owned()));
    out.retain(|p| p.is_file() && !p.to_string_lossy().contains("probe") && !p.ends_with("lease"));
    out.sort();
    out
}

/// Runs verify, which must fail and name the object.
#[track_caller]
fn found(site: &Site, object: &Path) {
    let outcome = site.run(&["verify", "--no-progress"]).run();
    assert_ne!(outcome.code, Some(0), "{} was damaged and nobody noticed", object.display());
    let name = object.file_name().unwrap().to_string_lossy().into_owned();
    let said = words(&outcome);
    assert!(said.contains(&name), "{} is not named: {said}", object.display());
}

#[test]
fn whatever_is_damaged_is_found_and_named() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&[]);
    let sound = site.run(&["verify"]).run().ok();
    assert!(sound.stdout.contains("as it was stored"), "{sound}");
    site.run(&["verify", "--deep", "--identity", "lifeboat-identity.txt"]).run().ok();
    let some = site.run(&["verify", "--sample", "1"]).run().ok();
    assert!(some.stdout.contains("not checked: ") && !some.stdout.contains("all of it"), "{some}");

    let root = site.path("repo");
    let all = objects(&root);
    assert!(all.len() >= 10, "{all:?}");
    for object in &all {
        let whole = std::fs::read(object).unwrap();
        flip_bit(object, whole.len() as u64 * 4 + 1);
        found(&site, object);
        std::fs::write(object, &whole).unwrap();
    }
    let packs: Vec<&PathBuf> = all.iter().filter(|o| o.to_string_lossy().contains("packs")).collect();
    let whole = std::fs::read(packs[0]).unwrap();
    cut(packs[0], whole.len() as u64 - 1);
    found(&site, packs[0]);
    std::fs::remove_file(packs[0]).unwrap();
    found(&site, packs[0]);
    std::fs::write(packs[0], &whole).unwrap();
    swap(packs[0], packs[1]);
    found(&site, packs[0]);
    swap(packs[0], packs[1]);
    let foreign = packs[0].with_file_name("000099.tar.zst.age");
    std::fs::write(&foreign, b"x").unwrap();
    found(&site, &foreign);
    std::fs::remove_file(&foreign).unwrap();

    let signature = all.iter().find(|o| o.ends_with("manifest.json.sig")).unwrap();
    let whole = std::fs::read(signature).unwrap();
    std::fs::remove_file(signature).unwrap();
    found(&site, signature);
    let listed = site.run(&["list"]).run().exits(3);
    assert!(listed.stdout.contains("not believed"), "{listed}");
    site.run(&["list", "--accept-unsigned"]).run().ok();
    std::fs::write(signature, &whole).unwrap();
    site.run(&["verify"]).run().ok();
}
