//! Which directory it is, whatever it is called: how one that we made or looked at is known again.

use std::io::Result as IoResult;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Device, number and birth of a directory: it keeps them when it is renamed, and none that is made
/// later is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirId {
    device: (u32, u32),
    inode: u64,
    /// Nanoseconds since 1970; numbers of inodes are used again.
    born: Option<i64>,
}

impl DirId {
    /// Whether it is certain that both are the same directory, of whatever time.
    pub fn is_surely(&self, other: &DirId) -> bool {
        self.born.is_some() && self == other
    }

    /// What lies at a path below `dir`, a link itself and not what it leads to, and of which type it is; `None` where nothing
    /// does. An empty path is `dir` itself.
    pub fn at(dir: impl AsFd, path: &Path) -> IoResult<Option<(DirId, FileType)>> {
        let want = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let found = match statx(dir, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH, want) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let born = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
        let nanoseconds = |at: rustix::fs::StatxTimestamp| at.tv_sec * 1_000_000_000 + i64::from(at.tv_nsec);
        let id = DirId {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            born: born.then(|| nanoseconds(found.stx_btime)),
        };
        Ok(Some((id, FileType::from_raw_mode(found.stx_mode.into()))))
    }
}
