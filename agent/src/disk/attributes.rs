//! Modes, owners, times and links.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Makes a link at `path` that leads to `to`, owned as given.
pub fn make_link(to: &Path, path: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    std::os::unix::fs::symlink(to, path).map_err(|e| Error::file("make link", path, e))?;
    match owner {
        Some((uid, gid)) => std::os::unix::fs::lchown(path, Some(uid), Some(gid))
            .map_err(|e| Error::file("give away", path, e)),
        None => Ok(()),
    }
}

/// Sets mode and, where given, owner (user, group) of an open file.
pub fn give(file: &File, path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
    let fail = |verb: &str, e: rustix::io::Errno| Error::file(verb, path, e.into());
    if let Some((uid, gid)) = owner {
        fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(|e| fail("give away", e))?;
    }
    fchmod(file, Mode::from_raw_mode(mode)).map_err(|e| fail("set the mode of", e))
}

/// Where the link at `path` leads; `None` where there is no link.
pub fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Ok(to) => Ok(Some(to)),
        // EINVAL is how the system says that it is no link.
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

/// The permission bits of what lies at `path` (links are followed); `None` where nothing does.
pub fn mode(path: &Path) -> Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.permissions().mode() & 0o7777)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("look at", path, e)),
    }
}

/// Makes a directory with this mode (whatever the umask) and owner; fine when it is there.
/// All of it through one handle: a link in its place is refused.
pub fn make_dir(dir: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    match super::owner::create_dir(dir, 0o700) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::file("create directory", dir, e));
        }
        _ => {}
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::DIRECTORY;
    let made = fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(dir);
    let made = made.map_err(|e| Error::file("open directory", dir, e))?;
    give(&made, dir, mode, owner)
}
