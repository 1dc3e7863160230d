//! Modes, owners, times and links.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Sets mode and, where given, owner (user, group) of an open file.
pub fn give(file: &File, path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    give_open(file, mode, owner).map_err(|e| Error::file("set owner and mode of", path, e))
}

pub(super) fn give_open(file: &File, mode: u32, owner: Option<(u32, u32)>) -> std::io::Result<()> {
    use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
    if let Some((uid, gid)) = owner {
        fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(fchmod(file, Mode::from_raw_mode(mode))?)
}

/// The target of the link at `path`; `None` where there is no link.
pub fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Ok(to) => Ok(Some(to)),
        // EINVAL means that it is not a link.
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput) => {
            Ok(None)
        }
        Err(e) => Err(Error::file("read link", path, e)),
    }
}

/// Sets mode, modification time and, where given, owner (user, group) of an open file.
pub fn set_attributes(
    file: &File,
    path: &Path,
    mode: u32,
    mtime_ns: i64,
    owner: Option<(u32, u32)>,
) -> Result<()> {
    use rustix::fs::{Timespec, Timestamps, futimens};
    give(file, path, mode, owner)?;
    let time =
        Timespec { tv_sec: mtime_ns.div_euclid(1_000_000_000), tv_nsec: mtime_ns.rem_euclid(1_000_000_000) };
    futimens(file, &Timestamps { last_access: time, last_modification: time })
        .map_err(|e| Error::file("set the time of", path, e.into()))
}

/// The permission bits of the file at `path` (links are followed); `None` where there is none.
pub fn mode(path: &Path) -> Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.permissions().mode() & 0o7777)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("look at", path, e)),
    }
}
