//! Creates, gives away and removes files below a directory of others, through its handle.
//!
//! Names are created, renamed and removed in an open directory, one component at a time: no path is walked
//! twice, and a link that somebody puts there is never followed, not even by root. A new file is ours and
//! private (0700, 0600) until it is given away through the handle that it was created with. So writing as
//! root is as strict as writing with the rights of the later owner, and nobody can read or change the file
//! meanwhile.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Result as IoResult};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid, chownat, mkdirat, readlinkat, renameat,
    renameat_with, symlinkat, syncfs, unlinkat,
};
use rustix::io::Errno;

use super::attributes::give_open;
use super::beneath::{Dir, odd};
use super::dir_id::DirId;

/// Deeper than any directory of ours or of PostgreSQL.
const DEPTH_MAX: u32 = 128;

impl Dir {
    /// The identity of the directory.
    pub fn id(&self) -> IoResult<DirId> {
        let found = DirId::at(self.as_fd(), Path::new(""))?;
        Ok(found.ok_or(ErrorKind::NotFound)?.0)
    }

    /// Creates a directory that must not exist yet, private to us; returns its handle.
    pub fn make_dir(&self, name: &OsStr) -> IoResult<Dir> {
        mkdirat(self.as_fd(), single(name)?, Mode::RWXU)?;
        let made = self.dir(Path::new(name))?;
        let uid = made.metadata()?.uid();
        match uid == rustix::process::geteuid().as_raw() {
            true => Ok(made),
            false => Err(odd(&format!("the new directory was replaced by a directory of user {uid}"))),
        }
    }

    /// A directory below, created where it does not exist, with its parents; all of them get mode and owner.
    pub fn make_dirs(&self, relative: &Path, mode: u32, owner: Option<(u32, u32)>) -> IoResult<()> {
        let mut at = self.clone();
        for part in relative.components() {
            at = at.make_or_open(part.as_os_str())?;
            at.give(mode, owner)?;
        }
        Ok(())
    }

    /// A directory below, created where it does not exist; it gets mode and owner.
    pub fn settle_dir(&self, relative: &Path, mode: u32, owner: Option<(u32, u32)>) -> IoResult<Dir> {
        let (above, name) = self.split(relative)?;
        let dir = above.make_or_open(name)?;
        dir.give(mode, owner)?;
        Ok(dir)
    }

    /// A directory of this name, created where it does not exist.
    pub fn make_or_open(&self, name: &OsStr) -> IoResult<Dir> {
        match self.make_dir(name) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => self.dir(Path::new(name)),
            made => made,
        }
    }

    /// Sets mode and, where given, owner of the directory itself.
    pub fn give(&self, mode: u32, owner: Option<(u32, u32)>) -> IoResult<()> {
        give_open(&File::from(self.readable()?), mode, owner)
    }

    /// Creates a private file that must not exist yet, for reading and writing.
    pub fn create_new(&self, relative: &Path) -> IoResult<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(self.open_at(relative, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Creates an empty private file that must not exist yet, with this owner.
    pub fn create_owned(&self, relative: &Path, owner: Option<(u32, u32)>) -> IoResult<()> {
        give_open(&self.create_new(relative)?, 0o600, owner)
    }

    /// Opens a file for reading and writing; creates it where it does not exist. It must not have a second
    /// name.
    pub fn open_or_create(&self, relative: &Path) -> IoResult<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK;
        let file = File::from(self.open_at(relative, flags, Mode::RUSR | Mode::WUSR)?);
        let meta = file.metadata()?;
        match meta.is_file() && meta.nlink() == 1 {
            true => Ok(file),
            false => Err(odd("not a regular file, or one with more than one hard link")),
        }
    }

    /// Removes anything except a directory; no error where it does not exist.
    pub fn remove_file(&self, relative: &Path) -> IoResult<()> {
        let (dir, name) = self.split(relative)?;
        match unlinkat(dir.as_fd(), name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Renames in this directory; replaces a file, or an empty directory.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> IoResult<()> {
        self.rename_into(from, self, to)
    }

    /// Renames from this directory into another.
    pub fn rename_into(&self, from: &OsStr, into: &Dir, to: &OsStr) -> IoResult<()> {
        Ok(renameat(self.as_fd(), single(from)?, into.as_fd(), single(to)?)?)
    }

    /// Exchanges two names in this directory, durably and in one step: neither of them is ever missing.
    ///
    /// # Errors
    /// Also where the file system cannot do that; then nothing has changed.
    pub fn exchange(&self, one: &OsStr, other: &OsStr) -> IoResult<()> {
        let (here, one, other) = (self.as_fd(), single(one)?, single(other)?);
        renameat_with(here, one, here, other, RenameFlags::EXCHANGE)?;
        self.sync()
    }

    /// Makes a link to `to`, with this owner.
    pub fn make_link(&self, to: &Path, relative: &Path, owner: Option<(u32, u32)>) -> IoResult<()> {
        let (dir, name) = self.split(relative)?;
        symlinkat(to, dir.as_fd(), single(name)?)?;
        if let Some((uid, gid)) = owner {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            chownat(dir.as_fd(), name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// The target of the link below; `None` where there is no link.
    pub fn read_link(&self, relative: &Path) -> IoResult<Option<PathBuf>> {
        let (dir, name) = self.split(relative)?;
        match readlinkat(dir.as_fd(), name, Vec::new()) {
            Ok(to) => Ok(Some(OsString::from_vec(to.into_bytes()).into())),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None), // EINVAL: not a link
            Err(e) => Err(e.into()),
        }
    }

    /// Removes a tree; no error where it does not exist. Never follows a link, never leaves the file system.
    pub fn remove_tree(&self, name: &OsStr) -> IoResult<()> {
        let kind = match self.look(Path::new(name))? {
            None => return Ok(()),
            Some(meta) => meta,
        };
        if !kind.is_dir() {
            return self.remove_file(Path::new(name));
        }
        let device = self.dir(Path::new(name))?.metadata()?.dev();
        self.remove_below(name, device, 0)
    }

    fn remove_below(&self, name: &OsStr, device: u64, depth: u32) -> IoResult<()> {
        let gone_is_fine = |done: IoResult<()>| match done {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        };
        let dir = match self.dir(Path::new(name)) {
            Err(e) => return gone_is_fine(Err(e)),
            Ok(dir) => dir,
        };
        if dir.metadata()?.dev() != device {
            return Err(odd(&format!("{} is a mount point", dir.path().display())));
        }
        if depth == DEPTH_MAX {
            return Err(odd(&format!("{} is more than {DEPTH_MAX} directories deep", dir.path().display())));
        }
        for entry in dir.entries()? {
            match entry.kind {
                Ok(FileType::Directory) => dir.remove_below(&entry.name, device, depth + 1)?,
                _ => dir.remove_file(Path::new(&entry.name))?,
            }
        }
        gone_is_fine(unlinkat(self.as_fd(), single(name)?, AtFlags::REMOVEDIR).map_err(Into::into))
    }

    /// Makes its entries durable.
    pub fn sync(&self) -> IoResult<()> {
        File::from(self.readable()?).sync_all()
    }

    /// Syncs every file and directory of its file system (syncfs(2)).
    pub fn sync_file_system(&self) -> IoResult<()> {
        Ok(syncfs(self.readable()?)?)
    }

    pub(super) fn split<'a>(&self, relative: &'a Path) -> IoResult<(Dir, &'a OsStr)> {
        let name = relative.file_name().ok_or_else(|| odd("a path without a name"))?;
        match relative.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Ok((self.dir(parent)?, name)),
            _ => Ok((self.clone(), name)),
        }
    }
}

/// A name that cannot lead elsewhere.
fn single(name: &OsStr) -> IoResult<&OsStr> {
    let bytes = name.as_encoded_bytes();
    match bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        true => Err(odd("a name that is a path")),
        false => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::beneath::tests::both;
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_made_written_or_removed_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(outside.join("sub")).unwrap();
        fs::write(outside.join("file"), "1").unwrap();
        fs::create_dir(&root).unwrap();
        for opened in both(&root) {
            symlink(&outside, root.join("link")).unwrap();
            symlink(outside.join("file"), root.join("to-file")).unwrap();
            let link = Path::new("link");
            assert!(opened.make_dir(OsStr::new("link")).is_err());
            assert!(opened.make_dirs(Path::new("link/new"), 0o700, None).is_err());
            assert!(opened.create_new(&link.join("new")).is_err());
            assert!(opened.open_or_create(Path::new("to-file")).is_err());
            assert!(opened.remove_file(&link.join("file")).is_err());
            assert!(opened.make_dir(OsStr::new("../x")).is_err());
            assert!(opened.settle_dir(link, 0o700, None).is_err());
            assert!(opened.make_link(&outside, &link.join("new"), None).is_err());
            assert!(opened.read_link(&link.join("file")).is_err());
            assert_eq!(opened.read_link(link).unwrap(), Some(outside.clone()));
            opened.make_dirs(Path::new("a/b"), 0o750, None).unwrap();
            opened.create_new(Path::new("a/b/file")).unwrap();
            symlink(&outside, root.join("a/link")).unwrap();
            opened.remove_tree(OsStr::new("a")).unwrap();
            opened.remove_tree(OsStr::new("a")).unwrap();
            opened.remove_tree(OsStr::new("link")).unwrap();
            opened.remove_file(Path::new("to-file")).unwrap();
            assert_eq!(opened.entries().unwrap().len(), 0);
            assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "1");
            assert!(outside.join("sub").is_dir());
        }
    }
}
