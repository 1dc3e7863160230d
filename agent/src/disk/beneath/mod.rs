//! Directories of others: opened once, and never left.
//!
//! They belong to somebody with fewer rights than we have, who at any moment may exchange a name for a
//! symbolic link, a FIFO or something else. So nothing in them is found by a path from `/`: [`Dir`] is a
//! handle, everything is opened relative to it, and on the way the kernel refuses every symbolic link, `..`
//! and mount trick (openat2(2)). Where the kernel does not know that call, or a filter forbids it, we go
//! component by component with `O_NOFOLLOW`, which is as strict. A name is checked and used through the
//! handle that it was opened as, never twice by its path.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

pub use rustix::fs::FileType;

/// Whether the kernel has reported that it lacks openat2(2).
static BY_STEPS: AtomicBool = AtomicBool::new(false);
/// A handle for a position; it can neither be read nor listed.
const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// How files of others are opened: no link at the end, no waiting for a FIFO, no terminal that becomes ours.
const CAREFUL: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
/// Where a name on the way is renamed, the kernel asks for another try.
const TRIES_MAX: u32 = 16;

/// An open directory of somebody else. A clone is the same handle.
#[derive(Clone, Debug)]
pub struct Dir {
    fd: Arc<OwnedFd>,
    /// For messages only.
    path: PathBuf,
    /// The owner of the directory that we began with.
    owner: (u32, u32),
    by_steps: bool,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A name in a directory.
#[derive(Debug)]
pub struct Entry {
    /// The name as it is.
    pub name: OsString,
    /// Its type when it was listed.
    pub kind: IoResult<FileType>,
}

impl Dir {
    /// Opens a directory by a path that belongs to the administrator completely: links in it are followed.
    pub fn open(path: &Path) -> IoResult<Dir> {
        let fd = openat(CWD, path, PLACE | OFlags::DIRECTORY, Mode::empty())?;
        Dir::begin(fd.into(), path.to_owned(), BY_STEPS.load(Ordering::Relaxed))
    }

    pub(super) fn begin(fd: Arc<OwnedFd>, path: PathBuf, by_steps: bool) -> IoResult<Dir> {
        let meta = metadata_of(&fd)?;
        Ok(Dir { fd, path, owner: (meta.uid(), meta.gid()), by_steps })
    }

    /// The path by which it was found, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Owner, mode and number of the directory itself.
    pub fn metadata(&self) -> IoResult<Metadata> {
        metadata_of(&self.fd)
    }

    /// Opens a directory below.
    pub fn dir(&self, relative: &Path) -> IoResult<Dir> {
        let fd = self.open_at(relative, PLACE | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Dir { fd: fd.into(), path: self.path.join(relative), ..self.clone() })
    }

    /// Opens a regular file below, for reading. Anything else is an error and never blocks.
    ///
    /// A file with another name elsewhere that the owner of the directory could not read is refused: the
    /// owner may have linked it here so that we read it.
    pub fn open_file(&self, relative: &Path) -> IoResult<(File, Metadata)> {
        let file = match self.open_at(relative, OFlags::RDONLY | CAREFUL, Mode::empty()) {
            Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                return Err(odd("a socket or a device, not a regular file"));
            }
            Err(e) if e.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                return Err(odd("a symbolic link in its path, which is not followed"));
            }
            opened => File::from(opened?),
        };
        let meta = self.checked(&file)?;
        Ok((file, meta))
    }

    /// Checks a file that was opened here: see [`Dir::open_file`].
    pub fn checked(&self, file: &File) -> IoResult<Metadata> {
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(odd("not a regular file"));
        }
        let (uid, gid) = self.owner;
        let his =
            meta.uid() == uid || meta.mode() & 0o004 != 0 || (meta.gid() == gid && meta.mode() & 0o040 != 0);
        if meta.nlink() > 1 && !his {
            return Err(odd(&format!(
                "a hard link to a file of user {} that the owner of the directory cannot read",
                meta.uid()
            )));
        }
        Ok(meta)
    }

    /// Metadata of this name below, of a link itself and not of its target; `None` where it does not exist.
    pub fn look(&self, relative: &Path) -> IoResult<Option<Metadata>> {
        match self.open_at(relative, PLACE | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(metadata_of(&fd)?)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Its entries, unsorted.
    pub fn entries(&self) -> IoResult<Vec<Entry>> {
        self.some_entries(usize::MAX)
    }

    /// At most so many of its entries, where somebody else can make any number of them.
    pub fn some_entries(&self, most: usize) -> IoResult<Vec<Entry>> {
        let mut out = Vec::new();
        let mut listed = rustix::fs::Dir::new(self.readable()?)?;
        while let Some(entry) = listed.read().filter(|_| out.len() < most) {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // A file system that does not list types.
                FileType::Unknown => self.kind_of(name),
                kind => Ok(kind),
            };
            out.push(Entry { name: name.to_owned(), kind });
        }
        Ok(out)
    }

    fn kind_of(&self, name: &OsStr) -> IoResult<FileType> {
        let stat = rustix::fs::statat(&self.fd, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    /// The same directory, so that it can be listed, synced and given away.
    pub(super) fn readable(&self) -> IoResult<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&self.fd, ".", flags, Mode::empty())?)
    }

    pub(super) fn handle(&self) -> Arc<OwnedFd> {
        self.fd.clone()
    }

    pub(super) fn goes_by_steps(&self) -> bool {
        self.by_steps
    }

    /// The same directory, as a new beginning: hard links are judged by its owner.
    pub fn begin_here(&self) -> IoResult<Dir> {
        Dir::begin(self.fd.clone(), self.path.clone(), self.by_steps)
    }

    /// Opens what is below, and nothing else: the one place that does this.
    pub(super) fn open_at(&self, relative: &Path, flags: OFlags, mode: Mode) -> IoResult<OwnedFd> {
        if relative.as_os_str().is_empty() {
            return Ok(openat(&self.fd, ".", flags, mode)?);
        }
        // The kernel would allow `a/../b`; no honest caller writes that.
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(odd("a path that leads out of its directory"));
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.by_steps {
            return self.open_by_steps(relative, flags, mode);
        }
        for _ in 0..TRIES_MAX {
            match openat2(&self.fd, relative, flags, mode, BENEATH) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS) => {
                    BY_STEPS.store(true, Ordering::Relaxed);
                    return self.open_by_steps(relative, flags, mode);
                }
                // The answer of a filter (seccomp) to a call that it does not know.
                Err(Errno::PERM) => return self.open_by_steps(relative, flags, mode),
                done => return Ok(done?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    fn open_by_steps(&self, relative: &Path, flags: OFlags, mode: Mode) -> IoResult<OwnedFd> {
        let mut parts = relative.components().map(Component::as_os_str).peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(part) = parts.next() {
            let here = at.as_ref().map_or_else(|| self.fd.as_fd(), AsFd::as_fd);
            let step = match parts.peek() {
                Some(_) => openat(here, part, PLACE | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty()),
                None => openat(here, part, flags, mode),
            };
            at = Some(step?);
        }
        at.ok_or_else(|| odd("an empty path"))
    }
}

pub(super) fn metadata_of(fd: &OwnedFd) -> IoResult<Metadata> {
    File::from(fd.try_clone()?).metadata()
}

pub(super) fn odd(what: &str) -> IoError {
    IoError::other(what.to_owned())
}

#[cfg(test)]
pub(crate) mod tests;
