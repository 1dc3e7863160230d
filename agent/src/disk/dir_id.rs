//! The identity of a directory, whatever its name: how one that we made or looked at is recognized.

use std::io::Result as IoResult;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Device, inode and birth time of a directory: it keeps them when it is renamed, and no later directory has
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirId {
    device: (u32, u32),
    inode: u64,
    /// Nanoseconds since 1970; inode numbers are reused.
    born: Option<i64>,
}

impl DirId {
    /// Whether both are certainly the same directory.
    pub fn is_surely(&self, other: &DirId) -> bool {
        self.born.is_some() && self == other
    }

    /// The identity and type of a path below `dir`, of a link itself and not of its target; `None` where it
    /// does not exist. An empty path is `dir` itself.
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
