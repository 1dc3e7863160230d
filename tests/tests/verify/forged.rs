//! What is signed and wrong, and what is right and signed for something else.

use std::fs;
use std::path::Path;

use lifeboat::archive::digest::{FileDigest, Sha256};
use lifeboat::archive::manifest::{self, Facts, SnapshotKind};
use lifeboat::archive::signature::SigningKey;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, small_tenant};

use crate::forge::{Forge, folders};
use crate::{found, verify};

const DEEP: &[&str] = &["--deep", "--identity", "lifeboat-identity.txt"];
const PACK: &str = "packs/000000.tar.zst.age";

/// Without a key the lie cannot be seen; `--deep` must see it, in this object.
#[track_caller]
fn only_deep_finds(site: &Site, mut forge: Forge, object: &str) -> Outcome {
    forge.sign();
    verify(site, &[]).ok();
    let outcome = found(site, DEEP, &forge.folder.join(object));
    forge.undo();
    outcome
}

#[track_caller]
fn says(outcome: &Outcome, text: &str) {
    assert!(outcome.stdout.contains(text), "{text:?} is not said: {outcome}");
}

#[test]
fn content_that_is_not_what_the_index_says_is_found_under_a_right_hash_and_signature() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let long = tenant.upload(&cluster, "long", &Seeded::new(7).noise(9 << 20));
    site.back_up(&[]);
    verify(&site, DEEP).ok();

    let mut forge = Forge::newest(&site, SnapshotKind::Filestore);
    let mut altered = None;
    forge.repack(PACK, |path, _, data| {
        if altered.is_none() && path != long && !data.is_empty() {
            data[0] ^= 1;
            altered = Some(path.to_owned());
        }
        true
    });
    says(&only_deep_finds(&site, forge, PACK), &altered.unwrap());

    // A member that is left out.
    let mut forge = Forge::newest(&site, SnapshotKind::Filestore);
    let mut left_out = None;
    forge.repack(PACK, |path, _, _| path == long || left_out.replace(path.to_owned()).is_some());
    only_deep_finds(&site, forge, PACK);
    assert!(left_out.is_some());

    // One extent of a long file: each is as long as the index says, together they are another file.
    let mut forge = Forge::newest(&site, SnapshotKind::Filestore);
    let packs: Vec<String> = forge.manifest.packs().map(|object| object.name.clone()).collect();
    let mut altered = 0;
    for pack in &packs {
        forge.repack(pack, |path, offset, data| {
            if path == long && offset == 4 << 20 {
                data[1000] ^= 1;
                altered += 1;
            }
            true
        });
    }
    assert_eq!(altered, 1);
    let outcome = only_deep_finds(&site, forge, "index.zst.age");
    says(&outcome, &format!("{long}, put together from its packs, is not what the index says"));

    // The dump, and the index of one, and the manifest of one.
    let mut forge = Forge::newest(&site, SnapshotKind::Dump);
    let mut altered = 0;
    for pack in forge.manifest.packs().map(|object| object.name.clone()).collect::<Vec<_>>() {
        forge.repack(&pack, |_, offset, data| {
            if offset == 0 {
                data[100] ^= 1;
                altered += 1;
            }
            true
        });
    }
    assert_eq!(altered, 1);
    forge.sign();
    verify(&site, &[]).ok();
    says(&verify(&site, DEEP).exits(10), "dump.pgc");
    forge.undo();
    let mut forge = Forge::newest(&site, SnapshotKind::Dump);
    let Facts::Dump(facts) = &mut forge.manifest.facts else { panic!("a dump") };
    facts.sha256 = Sha256::of(b"another");
    says(&only_deep_finds(&site, forge, "index.zst.age"), "another dump than the manifest does");
    let mut forge = Forge::newest(&site, SnapshotKind::Dump);
    forge.seal("baseline.zst.age", b"{}");
    says(&only_deep_finds(&site, forge, "baseline.zst.age"), "the baseline cannot be read");

    // Content and index agree, and the name that Odoo gave is of other content.
    let mut forge = Forge::newest(&site, SnapshotKind::Filestore);
    let mut altered = None;
    forge.repack(PACK, |path, _, data| {
        if altered.is_none() && path != long && !data.is_empty() {
            data[0] ^= 1;
            altered = Some((path.to_owned(), Sha256::of(data)));
        }
        true
    });
    let (path, sha256) = altered.unwrap();
    forge.reindex(|entry| {
        if entry.path == path {
            entry.digest = FileDigest::Sha256(sha256);
        }
    });
    let outcome = only_deep_finds(&site, forge, PACK);
    says(&outcome, &format!("{path} has SHA-1 "));
    says(&outcome, "which does not match its name");
    verify(&site, DEEP).ok();
}

fn copy_signed(from: &Path, to: &Path) {
    for name in [manifest::NAME, manifest::SIGNATURE_NAME] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn a_manifest_that_is_signed_by_another_key_or_for_another_place_is_found() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 2);
    site.back_up(&[]);
    site.back_up(&[]);
    let dumps = folders(&site.stored, SnapshotKind::Dump);
    let dump = &dumps[1];
    let keep = site.path("kept");
    fs::create_dir(&keep).unwrap();
    copy_signed(dump, &keep);
    let manifest = dump.join(manifest::NAME);

    let stranger = SigningKey::generate("stranger").unwrap().sign(&fs::read(&manifest).unwrap()).unwrap();
    fs::write(dump.join(manifest::SIGNATURE_NAME), stranger).unwrap();
    says(&found(&site, &[], &manifest), "which is not in signing.trusted_keys");
    copy_signed(&keep, dump);

    // Another snapshot of the same kind, tenant and key: an old state sold as the new one.
    copy_signed(&dumps[0], dump);
    let old = dumps[0].file_name().unwrap().to_string_lossy().into_owned();
    says(&found(&site, &[], &manifest), &format!("belongs to snapshot {old}"));
    copy_signed(&keep, dump);

    // Another repository and another instance, signed by the very same key.
    let mut forge = Forge::at(&site, dump);
    forge.manifest.origin.repository = "0".repeat(32);
    forge.sign();
    says(&found(&site, &[], &manifest), "written for another repository");
    forge.undo();
    let mut forge = Forge::at(&site, dump);
    forge.manifest.origin.instance = "other".parse().unwrap();
    forge.sign();
    says(&found(&site, &[], &manifest), "belongs to instance other");
    forge.undo();
    // The digests of lifeboat.json and instance.json are part of the place.
    let mut forge = Forge::at(&site, dump);
    forge.manifest.origin.instance_sha256 = Sha256::of(b"another cluster");
    forge.sign();
    found(&site, &["--accept-unsigned"], &manifest);
    forge.undo();
    verify(&site, &[]).ok();
}
