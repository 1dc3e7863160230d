//! Where servers, repositories and whatever our programs make for a moment lie: in one directory of this test
//! program, in memory where there is plenty, else on disk.
//!
//! In memory because the suite makes and removes some hundred thousand files: ext4 without a journal, as
//! small virtual machines have it, looks for a free inode for a millisecond and more when many were freed
//! just now. One directory, because a test that is killed removes nothing: the next program removes it, as
//! soon as nobody holds its lock.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{FlockOperation, StatVfsMountFlags, flock, statvfs};
use tempfile::TempDir;

/// A file system in memory that every Linux has.
const MEMORY: &str = "/dev/shm";
/// It must have this much left, and the machine, or what a container may take of it.
const FREE_BYTES_MIN: u64 = 4 << 30;
const AVAILABLE_BYTES_MIN: u64 = 6 << 30;
/// How the directory of a test program is called. Short: the paths of sockets end at 107 bytes.
const PREFIX: &str = "lbrun-";
/// A directory that is younger may not have its lock yet.
const SETTLED: Duration = Duration::from_secs(60);

/// A new directory below [`ours`], removed when dropped.
pub(crate) fn new_dir(prefix: &str) -> TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir_in(ours()).unwrap()
}

/// The directory of this test program. Everybody may make files in it, as in /tmp: servers run as other
/// users.
pub fn ours() -> &'static Path {
    static OURS: OnceLock<(PathBuf, File)> = OnceLock::new();
    &OURS
        .get_or_init(|| {
            make(&named().unwrap_or_else(|| if memory_will_do() { MEMORY } else { "/tmp" }.into()))
        })
        .0
}

/// The same on a disk: for what is about durability, or measured.
pub(crate) fn on_disk() -> &'static Path {
    static ON_DISK: OnceLock<(PathBuf, File)> = OnceLock::new();
    &ON_DISK.get_or_init(|| make(&named().unwrap_or_else(|| "/tmp".into()))).0
}

fn named() -> Option<PathBuf> {
    std::env::var_os("TEST_TMP").map(PathBuf::from)
}

/// Makes one, which stays locked as long as this process lives, and removes those whose processes are gone.
fn make(above: &Path) -> (PathBuf, File) {
    for entry in fs::read_dir(above).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_left(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path()); // somebody else's stays
        }
    }
    let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(above).unwrap().keep();
    fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
    let lock = File::open(&path).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    (path, lock)
}

fn is_left(dir: &Path) -> bool {
    let Ok(file) = File::open(dir) else { return false };
    let changed = file.metadata().and_then(|meta| meta.modified()).ok();
    changed.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > SETTLED)
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Whether there is enough memory, and programs and devices are what they are on a disk.
fn memory_will_do() -> bool {
    let Ok(meta) = statvfs(MEMORY) else { return false };
    let weaker = StatVfsMountFlags::NOEXEC | StatVfsMountFlags::NODEV | StatVfsMountFlags::RDONLY;
    let free = meta.f_bavail.saturating_mul(meta.f_frsize);
    free >= FREE_BYTES_MIN && !meta.f_flag.intersects(weaker) && available_bytes() >= AVAILABLE_BYTES_MIN
}

fn available_bytes() -> u64 {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = text("/proc/meminfo");
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let machine =
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10;
    let number = |path: &str| text(path).trim().parse::<u64>().ok();
    match number("/sys/fs/cgroup/memory.max") {
        Some(most) => machine.min(most.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or(0))),
        None => machine,
    }
}
