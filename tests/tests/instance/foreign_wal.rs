//! Objects that nobody of ours signed, wherever whoever can write to the store can put them among the WAL: no
//! command takes them for anything, and those that look say that they are there.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::hex::hex;
use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;

use crate::archiving::{Archiving, DIGEST, hand_over};

const SIGNED_BY_NOBODY: &str =
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn wal(site: &Site) -> PathBuf {
    site.path("repo/instances/prod/wal")
}

/// 300 bytes under a well-formed name of this file.
fn garbage(folder: &Path, range: &str, plain: &str, signature: Option<&str>) -> PathBuf {
    let bytes = lifeboat::names::random_hex(150);
    let stored = hex(&Sha256::of(bytes.as_bytes()).0[..16]);
    let signature = signature.map_or(String::new(), |signature| format!("-{signature}"));
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!("{range}-{plain}-{stored}{signature}.zst.age"));
    fs::write(&path, bytes).unwrap();
    path
}

fn objects(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(dir, &mut |path| found.push(path.to_owned()));
    found.retain(|path| path.extension().is_some_and(|end| end == "age"));
    found.sort();
    found
}

/// Puts something foreign into every place there is.
fn put_everywhere(site: &Site) -> Vec<PathBuf> {
    let wal = wal(site);
    let random = || lifeboat::names::random_hex(16);
    let ours = objects(&wal);
    let mut put = Vec::new();
    let folders: std::collections::BTreeSet<PathBuf> =
        ours.iter().map(|path| path.parent().unwrap().to_owned()).collect();
    for folder in &folders {
        for range in ["00000000-01000000", "00000000-00002000", "00800000-01000000"] {
            put.push(garbage(folder, range, &random(), None));
            put.push(garbage(folder, range, &random(), Some(SIGNED_BY_NOBODY)));
        }
    }
    let last = folders.iter().rfind(|folder| folder.parent().unwrap().ends_with("00000001"));
    let last = last.unwrap().file_name().unwrap().to_str().unwrap();
    let number = u64::from_str_radix(&last[8..24], 16).unwrap();
    let future = |n: u64| format!("00000001{:016X}", number + n);
    for folder in [
        format!("00000001/{}", future(1)),
        format!("00000001/{}", future(2)),
        format!("00000001/{}", future(7)),
        format!("00000001/{}.partial", future(1)),
        format!("00000001/{}.00000028.backup", future(1)),
        format!("00000002/00000002{}", &future(1)[8..]),
        format!("FFFFFFFF/FFFFFFFF{}", &future(2)[8..]),
        "history/00000002.history".to_owned(),
        "history/00000009.history".to_owned(),
    ] {
        for signature in [None, Some(SIGNED_BY_NOBODY)] {
            put.push(garbage(&wal.join(&folder), "00000000-01000000", &random(), signature));
        }
        // signed by us, for another place, and the same without the signature
        let own = ours.iter().find(|path| path.to_string_lossy().contains("/00000000-01000000-")).unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        for name in [name.to_owned(), format!("{}.zst.age", &name[..83])] {
            let copy = wal.join(&folder).join(name);
            fs::copy(own, &copy).unwrap();
            put.push(copy);
        }
    }
    for stray in ["stray", "00000001/stray", "history/x.history/y"] {
        let path = wal.join(stray);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        put.push(path);
    }
    put.sort();
    put
}

#[test]
fn what_nobody_signed_decides_nothing_wherever_it_lies() {
    let a = Archiving::start(None);
    a.base();
    a.step();
    a.archive();
    let truth = a.step();
    a.archive();
    let before = a.site.run(&["wal", "status", "--json"]).run().json();
    let stood = a.site.run(&["status", "--json"]).run().json();
    assert_eq!(before["foreign"].as_array().unwrap().len(), 0, "{before}");
    let put = put_everywhere(&a.site);
    hand_over(&a.site.path("repo"));

    // looking: the same WAL as before, and all of it told
    let after = a.site.run(&["wal", "status", "--json"]).run().exits(3).json();
    assert_eq!(after["timelines"], before["timelines"]);
    let key = |path: &PathBuf| path.strip_prefix(a.site.path("repo")).unwrap().to_str().unwrap().to_owned();
    let mut told: Vec<String> =
        after["foreign"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
    told.sort();
    let mut keys: Vec<String> = put.iter().map(key).collect();
    keys.sort();
    let other: Vec<&String> = told.iter().filter(|key| !keys.contains(key)).collect();
    assert!(told == keys, "{other:?} of {} and {}", told.len(), keys.len());
    let stands = a.site.run(&["status", "--json"]).run().exits(3).json();
    assert_eq!(stands["cluster"]["wal"]["end"], stood["cluster"]["wal"]["end"]);
    assert_eq!(stands["cluster"]["wal"]["timeline"], stood["cluster"]["wal"]["timeline"]);
    assert!(stands["problems"].to_string().contains(&format!("{} objects", put.len())), "{stands}");
    let verified = a.site.run(&["verify", "--no-progress", "--json"]).run().exits(3).json();
    assert_eq!(verified["findings"], serde_json::json!([]), "nothing is lost");
    let found = verified["foreign"].as_array().unwrap().iter();
    let mut found: Vec<&str> = found.map(|finding| finding["object"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert!(found == keys, "{verified}");

    // planning and restoring: to the end, which is that of what we signed
    let copied = crate::copy::Copied::new();
    let plan = a.restore_to(copied.data_dir(), &["--dry-run"]).run().ok().json();
    assert!(plan.to_string().contains("foreign"), "{plan}");
    let (copied, _) = a.started(&["--to", "latest"]);
    assert_eq!(copied.psql("shop", DIGEST), truth.ledger);
    drop(copied);

    // archiving: through the segments where they lie
    for _ in 0..3 {
        a.step();
        a.archive();
    }
    let truth = a.step();
    a.archive();
    let (copied, _) = a.started(&["--to", "latest"]);
    assert_eq!(copied.psql("shop", DIGEST), truth.ledger);

    for path in &put {
        fs::remove_file(path).unwrap();
    }
    a.site.run(&["verify", "--no-progress"]).run().ok();
}
