//! Filestores as they are found: files lost, damaged, replaced, oddly named, or being written.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat::archive::manifest::{Manifest, SnapshotKind};
use lifeboat::archive::path::{escape, unescape};
use lifeboat_tests::{Cluster, small_tenant};

use crate::archive::Archive;
use lifeboat_tests::site::{Site, words};

fn missing(manifest: &Manifest) -> Vec<(String, String)> {
    let link = manifest.link().unwrap();
    assert_eq!(link.missing_files, link.missing.len() as u64);
    link.missing.iter().map(|m| (m.store_fname.clone(), m.why.clone())).collect()
}

#[test]
fn files_that_are_lost_damaged_or_unreadable_are_named_and_the_rest_is_stored() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 3);
    let store = tenant.filestore();
    let named: Vec<String> = tenant
        .referenced(&cluster)
        .into_iter()
        .filter(|(_, bytes)| *bytes > 1000)
        .map(|(n, _)| n)
        .take(5)
        .collect();
    let [lost, damaged, fifo, link, shut] = named.as_slice() else { panic!("{named:?}") };
    let damaged_content = b"not what the name says".to_vec();
    let good = fs::read(store.path(damaged)).unwrap();
    fs::remove_file(store.path(lost)).unwrap();
    fs::write(store.path(damaged), &damaged_content).unwrap();
    fs::remove_file(store.path(fifo)).unwrap();
    assert!(Command::new("mkfifo").arg(store.path(fifo)).status().unwrap().success());
    fs::remove_file(store.path(link)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", store.path(link)).unwrap();
    let root = rustix::process::geteuid().is_root(); // who reads what is shut
    fs::set_permissions(store.path(shut), PermissionsExt::from_mode(0o0)).unwrap();

    let outcome = site.backup(&[]).run().exits(3);
    for name in [lost, damaged, fifo, link] {
        assert!(words(&outcome).contains(name), "{name} is not in {outcome}");
    }
    let archive = Archive::of(&site);
    let reasons = missing(archive.newest(SnapshotKind::Dump, Some("acme")));
    let why = |name: &String| reasons.iter().find(|(n, _)| n == name).map(|(_, why)| why.as_str()).unwrap();
    assert!(why(lost).contains("the source had already lost it"), "{reasons:?}");
    assert!(why(damaged).contains("not the one in its name"), "{reasons:?}");
    assert!(
        why(fifo).contains("could not be read") && why(link).contains("could not be read"),
        "{reasons:?}"
    );
    assert_eq!(reasons.len(), if root { 4 } else { 5 });
    let filestore = archive.newest(SnapshotKind::Filestore, Some("acme"));
    let contents = archive.contents(filestore);
    assert_eq!(contents.get(damaged), Some(&damaged_content), "damaged content is stored as it is");
    assert!(!contents.contains_key(lost) && !contents.contains_key(fifo) && !contents.contains_key(link));
    assert!(archive.files(filestore)[damaged].0.flaw.is_some());
    assert_eq!(filestore.filestore().unwrap().problem_files, reasons.len() as u64 - 1);

    // nothing changed: said again, although nothing is read again
    site.backup(&[]).run().exits(3).says("are missing or damaged in the filestores");
    // mended: all is well, and the good content has replaced the damaged one
    fs::write(store.path(damaged), &good).unwrap();
    fs::set_permissions(store.path(shut), PermissionsExt::from_mode(0o644)).unwrap();
    cluster.psql(
        "acme",
        &format!("delete from ir_attachment where store_fname in ('{lost}', '{fifo}', '{link}')"),
    );
    site.backup(&[]).run().ok();
    let archive = Archive::of(&site);
    let filestore = archive.newest(SnapshotKind::Filestore, Some("acme"));
    assert_eq!(archive.contents(filestore).get(damaged), Some(&good));
    // deleted from under the newest snapshot: the older ones still hold it
    fs::remove_file(store.path(damaged)).unwrap();
    site.backup(&[]).run().exits(3).says("1 files");
    assert_eq!(Archive::of(&site).contents(filestore).get(damaged), Some(&good));
}

#[test]
fn odd_names_empty_files_and_files_being_written_are_stored() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 4);
    let dir = tenant.filestore().dir().to_owned();
    let long = vec![b'l'; 255];
    let names: [&[u8]; 8] =
        [b"\xff\xfe", b"new\nline", b"qu\"o'te", b"back\\slash", b"%41", b"  ", "ÄÖ 文".as_bytes(), &long];
    for name in names {
        fs::write(dir.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir(dir.join(OsStr::from_bytes(b"d\xff"))).unwrap();
    fs::write(dir.join(OsStr::from_bytes(b"d\xff/\n")), "").unwrap();
    let big = dir.join("big");
    fs::write(&big, vec![7; 9 << 20]).unwrap(); // three extents

    let growing = dir.join("growing");
    fs::write(&growing, "").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = OpenOptions::new().append(true).open(&growing).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(&[b'g'; 10_000]).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let outcome = site.backup(&[]).run();
        stop.store(true, Ordering::Relaxed);
        outcome.ok();
    });
    let archive = Archive::of(&site);
    let contents = archive.contents(archive.newest(SnapshotKind::Filestore, Some("acme")));
    for name in names {
        assert_eq!(contents[&escape(name)], name);
        assert_eq!(unescape(&escape(name)).unwrap(), name);
    }
    assert!(contents[&escape(b"d\xff/\n")].is_empty());
    assert_eq!(contents["big"], vec![7; 9 << 20]);
    assert!(contents["growing"].iter().all(|b| *b == b'g'), "its beginning, as long as it was");
    // by the second run it has grown, and what is no blob is known by size and time
    let second = site.back_up(&["--kind", "filestore"]);
    assert_eq!(second["tenants"][0]["filestore"]["filestore"]["new_files"], 1);
    let archive = Archive::of(&site);
    let contents = archive.contents(archive.newest(SnapshotKind::Filestore, Some("acme")));
    assert_eq!(contents["growing"], fs::read(&growing).unwrap());
}

#[test]
fn a_tenant_without_a_filestore_is_stored_and_a_lost_one_is_not_passed_over() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 5);
    cluster.psql("postgres", "create database blank template acme");
    cluster.psql("blank", "delete from ir_attachment where store_fname is not null");
    // a database that keeps its attachments in itself never has a directory
    let report = site.back_up(&["--tenant", "blank"]);
    assert_eq!(report["tenants"][0]["filestore"]["filestore"]["files"], 0);
    site.back_up(&["--tenant", "acme"]);
    // but one whose directory has gone is in trouble
    fs::rename(tenant.filestore().dir(), site.path("elsewhere")).unwrap();
    let before = Archive::of(&site).ids();
    site.backup(&["--tenant", "acme"]).run().exits(14).says("filestore/acme does not exist");
    site.backup(&["--tenant", "acme", "--kind", "filestore"]).run().exits(14);
    let kinds: Vec<String> = Archive::of(&site).ids().iter().map(ToString::to_string).collect();
    assert_eq!(
        kinds.iter().filter(|k| k.contains("filestore")).count(),
        before.iter().filter(|k| k.as_str().contains("filestore")).count()
    );
    fs::rename(site.path("elsewhere"), tenant.filestore().dir()).unwrap();
    site.back_up(&["--tenant", "acme"]);
    // the whole data directory is not there: a wrong path or a volume that is not mounted
    fs::rename(site.data_dir().join("filestore"), site.path("elsewhere")).unwrap();
    site.backup(&["--tenant", "blank"]).run().exits(14).says("odoo.data_dir");
}
