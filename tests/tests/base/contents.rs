//! A base backup laid out by stock tools alone, as anybody without Lifeboat would: packs in the
//! order of the chain, files cut to their listed sizes, what is not listed removed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Program};
use serde_json::Value;

/// The folder of all snapshots.
pub fn snapshots(site: &Site) -> PathBuf {
    site.stored.join("instances/prod/snapshots")
}

/// The IDs of all base backups that exist, oldest first.
pub fn bases(site: &Site) -> Vec<String> {
    let Ok(entries) = fs::read_dir(snapshots(site)) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let exists =
        |id: &String| id.contains("-base-") && snapshots(site).join(id).join("manifest.json").exists();
    let mut ids: Vec<String> = names.filter(exists).collect();
    ids.sort();
    ids
}

/// A snapshot's manifest.
pub fn manifest(site: &Site, id: &str) -> Value {
    serde_json::from_slice(&fs::read(snapshots(site).join(id).join("manifest.json")).unwrap()).unwrap()
}

fn open(site: &Site, object: &Path, then: &str) -> Program {
    let script = format!("set -euo pipefail; age -d -i \"$ID\" \"$OBJECT\" | zstd -dqc {then}");
    Program::at("/bin/bash".into())
        .args(["-c", &script])
        .env("ID", site.path("lifeboat-identity.txt"))
        .env("OBJECT", object)
        .limit(Duration::from_secs(120))
}

/// A sealed text of a snapshot.
pub fn text(site: &Site, id: &str, name: &str) -> String {
    open(site, &snapshots(site).join(id).join(name), "").run().ok().stdout
}

/// The files of the index: path to line.
pub fn index(site: &Site, id: &str) -> BTreeMap<String, Value> {
    let lines = text(site, id, "index.zst.age");
    let lines = lines.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (line["path"].as_str().unwrap().to_owned(), line)).collect()
}

/// Lays a base backup out in `dir`, owned by `like`'s owner.
pub fn lay_out(site: &Site, id: &str, dir: &Path) {
    let chain = manifest(site, id)["base"]["chain"].clone();
    fs::create_dir(dir).unwrap();
    for link in chain.as_array().unwrap() {
        let packs = snapshots(site).join(link.as_str().unwrap()).join("packs");
        let scratch = site.path("unpacked");
        fs::create_dir(&scratch).unwrap();
        for pack in fs::read_dir(packs).unwrap() {
            let into = format!("| tar -x --no-same-owner -C {}", scratch.display());
            open(site, &pack.unwrap().path(), &into).run().ok();
        }
        apply(&scratch, dir);
        fs::remove_dir_all(scratch).unwrap();
    }
    let listed = index(site, id);
    let (mut unlisted, mut digests) = (Vec::new(), String::new());
    walk(dir, &mut |path| match listed.get(path.strip_prefix(dir).unwrap().to_str().unwrap()) {
        None => unlisted.push(path.to_owned()),
        Some(line) => {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(line["bytes"].as_u64().unwrap()).unwrap();
            digests.push_str(&format!("{}  {}\n", line["blake3"].as_str().unwrap(), path.display()));
        }
    });
    unlisted.into_iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::write(site.path("digests"), digests).unwrap();
    let check = Program::at("/usr/bin/b3sum".into()).args(["--check", "--quiet"]);
    check.arg(site.path("digests")).limit(Duration::from_secs(120)).run().ok();
    let layout: Value = serde_json::from_str(&text(site, id, "cluster.zst.age")).unwrap();
    for directory in layout["directories"].as_array().unwrap() {
        fs::create_dir_all(dir.join(directory["path"].as_str().unwrap())).unwrap();
    }
    for path in listed.keys() {
        assert!(dir.join(path).exists(), "{path} is in no pack");
    }
    fs::set_permissions(dir, PermissionsExt::from_mode(0o700)).unwrap();
    Program::at("/bin/chown".into()).args(["-R", "postgres:postgres"]).arg(dir).run();
}

fn apply(scratch: &Path, dir: &Path) {
    let files = scratch.join("files");
    if files.exists() {
        walk(&files, &mut |path| {
            let to = dir.join(path.strip_prefix(&files).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        });
    }
    let extents = scratch.join("extents");
    if extents.exists() {
        walk(&extents, &mut |path| {
            let offset: u64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let to = dir.join(path.parent().unwrap().strip_prefix(&extents).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let out = OpenOptions::new().write(true).create(true).truncate(false).open(to).unwrap();
            out.write_all_at(&fs::read(path).unwrap(), offset).unwrap();
        });
    }
}

/// Every page of a stopped cluster has its checksum.
pub fn check_pages(cluster: &Cluster, dir: &Path) {
    let done = Program::at(cluster.bin("pg_checksums")).args(["--check", "-D"]).arg(dir).run().ok();
    assert!(done.stdout.contains("Bad checksums:  0"), "{done}");
}
