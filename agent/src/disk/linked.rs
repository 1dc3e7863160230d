//! Links that an administrator made below a directory of others, for example when a filestore was moved to a
//! larger disk.
//!
//! A link is followed only where nobody with fewer rights than ours can have made it: it belongs to root, or
//! to our user, and has no second name. Each link on the way is checked like this, also where a link leads to
//! further links.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use super::beneath::{Dir, metadata_of};
use crate::error::{Error, Kind, Result};

/// The same as the kernel's own limit.
const LINKS_MAX: u32 = 40;

impl Dir {
    /// Opens a directory by its absolute path; `None` where there is none. Links on the way are followed if
    /// they belong to root or to us: so whoever else may rename parts of the path can lead us only to their
    /// own files.
    ///
    /// # Errors
    /// `Filestore` for a link of somebody else.
    pub fn open_absolute(path: &Path) -> Result<Option<Dir>> {
        let root = Dir::open(Path::new("/")).map_err(|e| Error::file("open", Path::new("/"), e))?;
        root.linked_dir(path.strip_prefix("/").unwrap_or(path))
    }

    /// A directory below, where links on the way are followed if they belong to root or to us; `None` where
    /// there is none.
    ///
    /// # Errors
    /// `Filestore` for a link of somebody else.
    pub fn linked_dir(&self, relative: &Path) -> Result<Option<Dir>> {
        let shown = self.path().join(relative);
        let is_plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        let straight = match is_plain {
            true => self.dir(relative),
            false => Err(Errno::LOOP.into()), // `..` is walked below
        };
        match straight {
            Ok(dir) => return dir.begin_here().map(Some).map_err(|e| Error::file("open", &shown, e)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) if is_link_or_file(&e) => {}
            Err(e) => return Err(Error::file("open", &shown, e)),
        }
        let mut parts: VecDeque<OsString> = names(relative);
        let (mut at, mut path, mut links): (Arc<OwnedFd>, PathBuf, u32) =
            (self.handle(), self.path().to_owned(), 0);
        while let Some(part) = parts.pop_front() {
            let here = path.join(&part);
            let failed = |e: Errno| Error::file("open", &here, e.into());
            let fd =
                match openat(&at, &part, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
                    Err(Errno::NOENT) => return Ok(None),
                    opened => opened.map_err(failed)?,
                };
            let meta = metadata_of(&fd).map_err(|e| Error::file("look at", &here, e))?;
            if !meta.is_symlink() {
                path.push(&part);
                at = fd.into();
                continue;
            }
            check(&here, &meta)?;
            links += 1;
            if links > LINKS_MAX {
                return Err(failed(Errno::LOOP));
            }
            let target = readlinkat(&fd, "", Vec::new()).map_err(failed)?;
            let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
            if target.is_absolute() {
                path = PathBuf::from("/");
                at = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(failed)?
                    .into();
            }
            names(&target).into_iter().rev().for_each(|name| parts.push_front(name));
        }
        let found = metadata_of(&at).map_err(|e| Error::file("look at", &path, e))?;
        if !found.is_dir() {
            return Err(Error::file("open", &shown, Errno::NOTDIR.into()));
        }
        Dir::begin(at, path, self.goes_by_steps()).map(Some).map_err(|e| Error::file("open", &shown, e))
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.map(|part| part.as_os_str().to_owned()).collect()
}

fn is_link_or_file(e: &std::io::Error) -> bool {
    [Errno::LOOP, Errno::NOTDIR].iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

fn check(link: &Path, meta: &Metadata) -> Result<()> {
    let ours = meta.uid() == 0 || meta.uid() == rustix::process::geteuid().as_raw();
    if ours && meta.nlink() == 1 {
        return Ok(());
    }
    let link = link.display();
    Err(Error::new(
        Kind::Filestore,
        format!("{link} is a symbolic link that belongs to user {} and is not followed", meta.uid()),
    )
    .because("whoever can write there could make Lifeboat read files that they may not read themselves")
    .effect("nothing below it was read or written")
    .next(format!(
        "if the link is yours, run chown -h root '{link}', or mount the directory there (mount --bind)"
    )))
}

#[cfg(test)]
mod tests {
    use super::super::beneath::tests::both;
    use super::*;
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    #[test]
    fn links_of_root_and_our_own_are_followed_and_those_of_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("plain")).unwrap();
        fs::create_dir_all(dir.path().join("disk/big")).unwrap();
        symlink("../disk", root.join("moved")).unwrap();
        symlink(dir.path().join("disk/again"), root.join("chain")).unwrap();
        symlink("big", dir.path().join("disk/again")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for opened in both(&root) {
            let ino = |path: &str| {
                opened.linked_dir(Path::new(path)).unwrap().map(|dir| dir.metadata().unwrap().ino())
            };
            assert_eq!(ino("plain"), Some(fs::metadata(root.join("plain")).unwrap().ino()));
            let big = fs::metadata(dir.path().join("disk/big")).unwrap().ino();
            assert_eq!((ino("moved/big"), ino("chain")), (Some(big), Some(big)));
            assert_eq!((ino("none"), ino("moved/none")), (None, None));
            assert_eq!(ino("plain/../moved/big"), Some(big));
            assert!(opened.linked_dir(Path::new("loop")).is_err());
        }
        let absolute = |path: &str| Dir::open_absolute(&root.join(path)).unwrap();
        assert!(absolute("moved/big").is_some() && absolute("none").is_none());
        if lchown(dir.path().join("disk/again"), Some(4_000_000), None).is_err() {
            println!("SKIPPED links of another user: only root can make them");
            return;
        }
        for opened in both(&root) {
            let refused = opened.linked_dir(Path::new("chain")).unwrap_err();
            assert_eq!(refused.kind(), Kind::Filestore);
            assert!(refused.what().contains("belongs to user 4000000"), "{refused:?}");
        }
    }
}
