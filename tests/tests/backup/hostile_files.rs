//! A filestore whose owner means ill: whatever he puts there or exchanges meanwhile, nothing but his own
//! regular files is stored, and no run hangs.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, skip, small_tenant};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::archive::Archive;

/// What only the agent may read.
const KEY: &str = "the host's signing key";
const FILES: usize = 300;

/// What every stored filestore of the tenant holds.
fn stored(site: &Site) -> Vec<(String, Vec<u8>)> {
    let archive = Archive::of(site);
    let all = archive.ids();
    let of = all
        .iter()
        .map(|id| archive.manifest(id))
        .filter(|manifest| manifest.kind() == SnapshotKind::Filestore);
    of.flat_map(|manifest| archive.contents(manifest)).collect()
}

/// Exchanges a folder for a link to another directory, all the time while `work` runs; how often.
fn while_exchanged(folder: &Path, link: &Path, work: impl FnOnce()) -> u64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, folder, CWD, link, RenameFlags::EXCHANGE).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        work();
        stop.store(true, Ordering::Relaxed);
    });
    count.into_inner()
}

#[test]
fn a_folder_exchanged_for_a_link_during_the_walk_brings_nothing_from_outside_into_a_backup() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 3);
    let dir = tenant.filestore().dir().to_owned();
    let (folder, link, outside) = (dir.join("zy"), dir.join(".s"), site.path("outside"));
    for (at, content) in [(&folder, "filler"), (&outside, KEY)] {
        fs::create_dir_all(at).unwrap();
        for n in 0..FILES {
            fs::write(at.join(format!("a{n:04}")), content.repeat(1 + n % 7)).unwrap();
        }
    }
    symlink(&outside, &link).unwrap();
    let exchanged = while_exchanged(&folder, &link, || {
        // at least five times, and until a walk met the folder itself once
        let met = || stored(&site).iter().any(|(path, _)| path.starts_with("zy/"));
        for round in 0..40 {
            if round >= 5 && met() {
                break;
            }
            // others than last time, so that they are read again
            for n in 0..FILES {
                let _ = fs::write(dir.join(format!("x{round}-{n}")), "y");
            }
            let outcome = site.backup(&["--kind", "filestore"]).run();
            assert!([0, 3].contains(&outcome.code.unwrap()), "{outcome}");
        }
    });
    assert!(exchanged > 500, "{exchanged}");
    let stored = stored(&site);
    assert!(stored.iter().any(|(path, _)| path.starts_with("zy/")), "the folder itself was met, too");
    for (path, content) in stored {
        let key = content.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        assert!(!key, "{path} holds what lies outside of the filestore");
    }
}

#[test]
fn fifos_sockets_devices_and_links_are_findings_and_no_run_waits_for_them() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 3);
    let dir = tenant.filestore().dir().to_owned();
    fs::create_dir_all(dir.join("zz")).unwrap();
    let mkfifo = Command::new("mkfifo").arg(dir.join("zz/fifo")).status().unwrap();
    assert!(mkfifo.success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("zz/socket")).unwrap();
    symlink(site.path("lifeboat.toml"), dir.join("zz/link")).unwrap();
    let mut odd = vec!["FIFO", "socket", "symbolic link"];
    let device = Command::new("mknod").arg(dir.join("zz/device")).args(["c", "1", "5"]).output().unwrap();
    match device.status.success() {
        true => odd.push("device"), // /dev/zero, which has no end
        false => skip::announce("a device in a filestore", "only root can make one"),
    }
    let outcome = site.backup(&[]).run().ok(); // no row names them
    for what in odd {
        assert!(words(&outcome).contains(&format!("a {what}, skipped")), "{what}: {outcome}");
    }
    assert!(stored(&site).iter().all(|(path, _)| !path.starts_with("zz/")));
}

#[test]
fn a_filestore_behind_a_link_is_followed_only_where_nobody_less_than_us_made_it() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 3);
    let (dir, moved) = (tenant.filestore().dir().to_owned(), site.path("large-disk"));
    fs::rename(&dir, &moved).unwrap();
    symlink(&moved, &dir).unwrap();
    site.backup(&[]).run().ok(); // moved to a larger disk by the administrator
    let files = stored(&site).len();
    assert!(files > 10, "{files}");
    if lchown(&dir, Some(4_000_000), None).is_err() {
        skip::announce("a link that belongs to Odoo's user", "only root can make one");
        return;
    }
    let outcome = site.backup(&[]).run();
    assert!(outcome.code.unwrap() != 0, "{outcome}");
    assert!(words(&outcome).contains("belongs to user 4000000 and is not followed"), "{outcome}");
    assert!(words(&outcome).contains("chown -h root"), "{outcome}");
    assert_eq!(stored(&site).len(), files, "nothing behind it was stored");
}
