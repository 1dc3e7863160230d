//! A new data directory: a copy of one that `initdb` made once, with a system identifier of its own.
//!
//! `initdb` takes a second of a core and the suite starts hundreds of clusters. What it makes differs in
//! nothing but the identifier, which is in two places: `global/pg_control` and the first page of WAL. The
//! directory to copy is kept beside the built programs, one for each build of PostgreSQL.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::children;
use crate::installed::{Installed, Runner};
use crate::place;
use crate::program::bin_dir;

/// How long `initdb`, or a copy, may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Where `xlp_sysid` is in the first page of a segment (PostgreSQL `xlog_internal.h`).
const IDENTIFIER_IN_WAL: u64 = 24;
/// Where the checksum of `pg_control` may lie: its last field, and the structure grows from version to
/// version.
const CHECKSUM_AT: std::ops::Range<usize> = 200..512;

/// Runs `initdb` with its usual arguments and these.
pub(crate) fn init(installed: &Installed, runner: Runner, dir: &Path, arguments: &[String]) {
    let mut initdb = Command::new(installed.bin_dir.join("initdb"));
    let user = crate::cluster::SUPERUSER;
    initdb.args(["-k", "-E", "UTF8", "--no-locale", "--no-sync", "-U", user, "-D"]).arg(dir).args(arguments);
    runner.apply(&mut initdb);
    finish(initdb);
}

/// Makes `dir`, for a superuser who is trusted.
pub(crate) fn make(installed: &Installed, runner: Runner, dir: &Path) {
    copy(&kept(installed, runner), dir);
    let (control, wal) = (dir.join("global/pg_control"), dir.join("pg_wal/000000010000000000000001"));
    let mut bytes = fs::read(&control).unwrap();
    let identifier = new_identifier();
    let old: [u8; 8] = bytes[..8].try_into().unwrap();
    let at = checksum_at(&bytes).expect("pg_control has no checksum where one may be");
    bytes[..8].copy_from_slice(&identifier);
    let crc = crc32c(&bytes[..at]);
    bytes[at..at + 4].copy_from_slice(&crc.to_ne_bytes());
    fs::write(&control, bytes).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(wal).unwrap();
    let mut found = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, IDENTIFIER_IN_WAL).unwrap();
    assert_eq!(found, old, "the identifier is at another place of the WAL of {installed:?}");
    std::os::unix::fs::FileExt::write_all_at(&file, &identifier, IDENTIFIER_IN_WAL).unwrap();
}

/// The directory to copy. Whoever is first makes it; it appears whole, or not at all.
fn kept(installed: &Installed, runner: Runner) -> PathBuf {
    let made = fs::metadata(installed.bin_dir.join("postgres")).unwrap();
    let name = format!("{}-{}-{}", installed.major, made.ino(), made.mtime());
    let kept = bin_dir().join("clusters").join(name);
    if kept.exists() {
        return kept;
    }
    let own = place::new_dir("initdb-");
    if let Runner::Other { uid, gid } = runner {
        std::os::unix::fs::chown(own.path(), Some(uid), Some(gid)).unwrap();
    }
    init(installed, runner, &own.path().join("data"), &["-A".to_owned(), "trust".to_owned()]);
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    let beside = TempDir::with_prefix_in("making-", kept.parent().unwrap()).unwrap();
    copy(&own.path().join("data"), &beside.path().join("data"));
    if let Err(e) = fs::rename(beside.path().join("data"), &kept) {
        assert!(kept.exists(), "{}: {e}", kept.display()); // else somebody else was faster
    }
    kept
}

fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    cp.args(["-a", "--reflink=auto", "--sparse=always"]).arg(from).arg(to);
    finish(cp);
}

fn finish(command: Command) {
    let what = format!("{command:?}");
    let done = children::finish(command, Vec::new(), LIMIT);
    assert!(done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stderr));
}

/// As `initdb` makes one: seconds above, what no other has below.
fn new_identifier() -> [u8; 8] {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let below = u64::from(now.subsec_micros()) << 12 | (u64::from(std::process::id()) & 0xFFF);
    let count = COUNT.fetch_add(1, Ordering::Relaxed) << 20;
    ((now.as_secs() << 32) | ((below ^ count) & 0xFFFF_FFFF)).to_ne_bytes()
}

fn checksum_at(control: &[u8]) -> Option<usize> {
    CHECKSUM_AT.step_by(4).find(|at| control[*at..at + 4] == crc32c(&control[..*at]).to_ne_bytes())
}

/// CRC-32C (Castagnoli), as PostgreSQL computes it.
fn crc32c(bytes: &[u8]) -> u32 {
    let one = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, one)
}
