//! Archives that are signed by ourselves and wrong all the same: of another repository, or with an
//! index that vouches for a file that is not what its name says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat::archive::signature::SigningKey;
use lifeboat::repository::Repository;
use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::compare::sha256;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};
use serde_json::Value;

use crate::{assert_nothing_published, databases, restore};

fn snapshots(root: &Path) -> PathBuf {
    root.join("instances/prod/snapshots")
}

#[test]
fn a_snapshot_of_another_repository_is_refused_whoever_signed_it() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 41);
    site.back_up(&["--release", "ours"]);
    // same keys, same instance, same cluster: only the repository is another
    let other = site.path("other");
    let url = other.display().to_string();
    Store::create_local_root(&url).unwrap();
    let store = Store::open(&url, &StoreOptions::default()).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(Repository::init(&store)).unwrap();
    let report = site.back_up(&["--repository", &url, "--release", "theirs"]);
    let foreign = report["tenants"][0]["dump"]["id"].as_str().unwrap();
    for entry in fs::read_dir(snapshots(&other)).unwrap() {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(entry.unwrap().path()).arg(snapshots(&site.stored));
        assert!(copy.status().unwrap().success());
    }
    let before = databases(&cluster);
    let said = "was written for another repository";
    let named = restore(&site, &["--tenant", "shop", "--as", "x", "--snapshot", foreign]).run().exits(10);
    assert!(words(&named).contains(said), "{named}");
    assert_nothing_published(&cluster, &site, &before, "x", &named);
    let unsigned = ["--tenant", "shop", "--as", "x", "--snapshot", foreign, "--accept-unsigned"];
    restore(&site, &unsigned).run().exits(10);
    let release = restore(&site, &["--tenant", "shop", "--as", "x", "--release", "theirs"]).run();
    assert_ne!(release.code, Some(0), "{release}");
    assert_nothing_published(&cluster, &site, &before, "x", &release);
    // the newest of our own is taken, and what was passed over is said
    let ours = restore(&site, &["--tenant", "shop", "--as", "x"]).run().ok();
    assert!(ours.stderr.contains(foreign), "{ours}");
    assert!(!ours.stderr.contains(&format!("snapshot  {foreign}")), "{ours}");
}

/// Takes the flaw of one file out of a filestore's index, and signs the result: what a writer
/// would leave that does not look at what it stores.
fn vouch_for(site: &Site, snapshot: &str, file: &str) {
    let dir = snapshots(&site.stored).join(snapshot);
    let index = dir.join("index.zst.age");
    let config = fs::read_to_string(site.config()).unwrap();
    let recipient = config.split('"').find(|word| word.starts_with("age1")).unwrap();
    let script = "set -e; age -d -i lifeboat-identity.txt \"$1\" | zstd -dq >plain; \
                  sed -i \"/$2/s/,\\\"flaw\\\":\\\"[^\\\"]*\\\"//\" plain; zstd -qc plain | age -r \"$3\" >forged";
    let done = Command::new("sh")
        .current_dir(site.config().parent().unwrap())
        .args(["-c", script, "sh", index.to_str().unwrap(), file, recipient])
        .status();
    assert!(done.unwrap().success());
    let lines = fs::read_to_string(site.path("plain")).unwrap();
    assert!(lines.lines().any(|line| line.contains(file) && !line.contains("flaw")), "{lines}");
    fs::remove_file(&index).unwrap();
    fs::rename(site.path("forged"), &index).unwrap();

    let path = dir.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for object in manifest["objects"].as_array_mut().unwrap() {
        if object["name"] == "index.zst.age" {
            object["bytes"] = index.metadata().unwrap().len().into();
            object["sha256"] = sha256(&index).into();
        }
    }
    let text = serde_json::to_vec_pretty(&manifest).unwrap();
    let key = SigningKey::load(&site.path("lifeboat-signing-key")).unwrap();
    for (path, content) in
        [(&path, text.clone()), (&dir.join("manifest.json.sig"), key.sign(&text).unwrap().into_bytes())]
    {
        fs::remove_file(path).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_refused_although_the_index_vouches_for_it() {
    let cluster = Cluster::start_default();
    // one that is stored whole, one that is cut into extents
    for bytes in [5_000usize, 9_500_000] {
        let site = Site::local(&cluster);
        let name = format!("shop{bytes}");
        let tenant = small_tenant(&cluster, &site.data_dir(), &name, 42);
        tenant.upload(&cluster, "victim", &vec![7; bytes]);
        let mut referenced = tenant.referenced(&cluster).into_iter();
        let (fname, _) = referenced.rfind(|(_, size)| *size == bytes as u64).unwrap();
        fs::write(tenant.filestore().path(&fname), vec![8; bytes]).unwrap();
        let outcome = site.backup(&["--tenant", &name, "--json"]).run().exits(3);
        let report = outcome.json();
        assert!(report["tenants"][0]["filestore"].to_string().contains(&fname), "{outcome}");
        let filestore = report["tenants"][0]["filestore"]["id"].as_str().unwrap();
        // as the backup recorded it, it comes back as it was, and that is no surprise
        restore(&site, &["--tenant", &name, "--as", &format!("{name}_flawed")]).run().ok();
        vouch_for(&site, filestore, &fname[3..]);
        let before = databases(&cluster);
        let outcome = restore(&site, &["--tenant", &name, "--as", "x"]).run().exits(10);
        assert!(words(&outcome).contains(&format!("no backup holds 1 file undamaged: {fname}")), "{outcome}");
        assert_nothing_published(&cluster, &site, &before, "x", &outcome);
    }
}
