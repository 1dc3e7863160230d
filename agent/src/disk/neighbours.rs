//! Directories in one directory: checked and renamed by their names within the opened parent.
//!
//! The parent belongs to Odoo's user. It is opened once, and a link to it is followed only where its owner
//! has no more rights than we have; so whoever exchanges it meanwhile cannot lead us elsewhere.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::disk::dir_id::DirId;
use crate::error::{Error, Kind, Result};

/// An opened directory, for the names directly in it.
pub struct Neighbours {
    dir: File,
    path: PathBuf,
}

impl Neighbours {
    /// Opens it; `None` where there is none.
    ///
    /// # Errors
    /// `Filestore` where it is a link that a user with fewer rights could change.
    pub fn open(path: &Path) -> Result<Option<Neighbours>> {
        let fail = |e| Error::file("open", path, e);
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e)),
        };
        let mut flags = OFlags::DIRECTORY;
        if meta.is_symlink() {
            let us = rustix::process::geteuid();
            if us.is_root() && meta.uid() != us.as_raw() {
                let what = format!("{} is a link that user {} could change", path.display(), meta.uid());
                return Err(Error::new(Kind::Filestore, what).effect("nothing was changed").next(format!(
                    "run this as that user, or give the link to root: chown -h root '{}'",
                    path.display()
                )));
            }
        } else {
            flags |= OFlags::NOFOLLOW;
        }
        let dir = fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path);
        Ok(Some(Neighbours { dir: dir.map_err(fail)?, path: path.to_owned() }))
    }

    /// The directory, or the link, of this name; `None` where there is none.
    ///
    /// # Errors
    /// `Filestore` where this name is something else.
    pub fn id(&self, name: &str) -> Result<Option<DirId>> {
        match DirId::at(&self.dir, Path::new(name)) {
            Ok(Some((id, FileType::Directory | FileType::Symlink))) => Ok(Some(id)),
            Ok(None) => Ok(None),
            Ok(Some(_)) => {
                let what = format!("{} is not a directory", self.path.join(name).display());
                Err(Error::new(Kind::Filestore, what).effect("nothing was changed"))
            }
            Err(e) => Err(Error::file("look at", &self.path.join(name), e)),
        }
    }

    /// Renames one of them, durably, where the new name does not exist.
    ///
    /// # Errors
    /// `AlreadyExists` where it does; then nothing has changed.
    pub fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        let fail = |e: Errno| Error::file(&format!("rename to {to:?}:"), &self.path.join(from), e.into());
        match renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE) {
            // NFS and some others do not know the flag; rename(2) replaces no directory that is not empty.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if self.id(to)?.is_none() => {
                rustix::fs::renameat(&self.dir, from, &self.dir, to).map_err(fail)?;
            }
            done => done.map_err(fail)?,
        }
        self.dir.sync_all().map_err(|e| Error::file("sync directory", &self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_again_by_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let beside = Neighbours::open(dir.path()).unwrap().unwrap();
        let a = beside.id("a").unwrap().unwrap();
        assert_ne!(Some(a), beside.id("b").unwrap());
        assert_eq!(beside.rename_new("a", "b").unwrap_err().kind(), Kind::AlreadyExists);
        beside.rename_new("a", "it's \"c\".d").unwrap();
        assert_eq!((beside.id("a").unwrap(), beside.id("it's \"c\".d").unwrap()), (None, Some(a)));
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(beside.id("file").unwrap_err().kind(), Kind::Filestore);
        assert!(Neighbours::open(&dir.path().join("none")).unwrap().is_none());
        // Exchanged for a link after it was opened: the opened directory counts.
        let moved = dir.path().with_extension("moved");
        fs::rename(dir.path(), &moved).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path()).unwrap();
        assert!(beside.id("b").unwrap().is_some() && beside.id("passwd").unwrap().is_none());
        fs::remove_file(dir.path()).unwrap();
        fs::rename(&moved, dir.path()).unwrap();
    }
}
