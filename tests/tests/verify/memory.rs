//! What anybody can put into the repository takes no memory: large objects under names of ours, that nobody
//! signed, or somebody else, or with a signature taken from another snapshot.

use std::fs::{self, File};
use std::path::Path;

use lifeboat::archive::manifest;
use lifeboat::archive::signature::SigningKey;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program, small_tenant};

use crate::{objects, those};

/// What the program may take for its data (RLIMIT_DATA): the promise is 256 MiB, some of this is
/// address space that threads reserve and never touch.
const DATA_BYTES_MAX: u64 = 320 << 20;
/// The largest manifest and report that are read.
const LARGE: u64 = 63 << 20;

/// A file of zeros that takes no disk.
fn large(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().set_len(LARGE).unwrap();
}

/// The command where no more memory can be had.
fn in_little_memory(site: &Site, args: &[&str]) -> Outcome {
    let lifeboat = lifeboat_tests::program::bin_dir().join("lifeboat");
    Program::at("/usr/bin/prlimit".into())
        .arg(format!("--data={DATA_BYTES_MAX}"))
        .arg("--")
        .arg(lifeboat)
        .args(args.to_vec())
        .cwd(site.path(""))
        .run()
}

#[test]
fn large_forgeries_take_no_memory_and_hide_nothing() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&["--tenant", "shop"]);
    let instance = site.stored.join("instances/prod");
    let genuine = fs::read(those(&objects(&site.stored), manifest::SIGNATURE_NAME)[0]).unwrap();
    let stranger = SigningKey::generate("stranger").unwrap().sign(b"anything").unwrap();
    for n in 0..18 {
        let folder = instance.join(format!("snapshots/20991231T2359{:02}Z-dump-{n:08x}", n % 60));
        large(&folder.join(manifest::NAME));
        match n % 3 {
            0 => {}
            1 => fs::write(folder.join(manifest::SIGNATURE_NAME), &stranger).unwrap(),
            _ => fs::write(folder.join(manifest::SIGNATURE_NAME), &genuine).unwrap(),
        }
    }
    for n in 0..8 {
        large(&instance.join(format!("drills/20991231T235959Z-{n:08x}/report.json")));
    }
    let listed = in_little_memory(&site, &["list"]);
    assert!(listed.stdout.contains("shop") && listed.signal.is_none(), "{listed}");
    let said = format!("{}{}", listed.stdout, listed.stderr);
    for words in ["is not signed", "is not in signing.trusted_keys", "does not match its content"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let verified = in_little_memory(&site, &["verify", "--no-progress"]).exits(10);
    assert!(verified.stdout.contains("newest undamaged dump of shop"), "{verified}");
    in_little_memory(&site, &["status"]);
    // A person gave the check up: what nobody signed is bounded all the same.
    let unsigned = in_little_memory(&site, &["list", "--accept-unsigned"]);
    assert!(unsigned.stdout.contains("shop") && unsigned.signal.is_none(), "{unsigned}");
}

#[test]
fn any_number_of_foreign_objects_is_counted_and_the_first_are_named() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&["--tenant", "shop"]);
    let odd = site.stored.join("instances/prod/odd");
    fs::create_dir(&odd).unwrap();
    for n in 0..10_500 {
        fs::write(odd.join(format!("object-{n}")), "").unwrap();
    }
    let verified = in_little_memory(&site, &["verify", "--no-progress", "--json"]).ok().json();
    assert_eq!(verified["foreign"].as_array().unwrap().len(), 10_000);
    assert_eq!(verified["foreign_more"], 500);
}
