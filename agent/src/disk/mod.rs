//! The door to local files: nothing else opens, writes, renames or locks one.
//!
//! Every error names its path. New files are private (directories 0700, files 0600) unless a caller says
//! otherwise, and belong to the owner of the directory (see `owner.rs`). Functions named durable sync the
//! file, rename it, and sync its directory.
#![allow(clippy::disallowed_methods)] // this is the door

mod attributes;
pub mod beneath;
mod boot;
pub mod dir_id;
pub mod direct;
mod file_system;
mod linked;
pub mod making;
pub mod neighbours;
mod owner;
mod process;
mod secret;
mod small;
mod users;
pub mod watch;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
pub use attributes::{give, mode, read_link, set_attributes};
pub use boot::{boot_id, uptime};
pub use file_system::{has_kernel_times, is_remote};
pub use process::{lower_priority, lower_priority_of_thread, may_open};
pub use secret::{check_secret, read_secret, read_secret_text};
pub use users::{user_name, user_named};

/// Creates `dir` and its parents with mode 0700; no error where it exists.
pub fn create_private_dir(dir: &Path) -> Result<()> {
    owner::create_dirs(dir, 0o700).map_err(|e| Error::file("create directory", dir, e))
}

/// Creates one directory that must not exist yet.
pub fn create_new_dir(dir: &Path, mode: u32) -> Result<()> {
    owner::create_dir(dir, mode).map_err(|e| Error::file("create directory", dir, e))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::file("open", path, e))
}

/// Opens a file for reading without following a link at its end and without blocking on a FIFO.
pub fn open_nofollow(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// Creates a file that must not exist yet, for reading and writing.
pub fn create_new(path: &Path, mode: u32) -> Result<File> {
    let how = OpenOptions::new().read(true).write(true).clone();
    owner::create_new(path, &how, mode).map_err(|e| Error::file("create", path, e))
}

/// Opens a file for reading and writing; creates it with mode 0600 where it does not exist.
pub fn open_or_create(path: &Path) -> Result<File> {
    let how = OpenOptions::new().read(true).write(true).clone();
    owner::open_or_create(path, &how, 0o600).map_err(|e| Error::file("open", path, e))
}

/// Reads a whole file of at most `bytes_max`.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    read_whole(open(path)?, path, bytes_max)
}

fn read_whole(file: File, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut data).map_err(|e| Error::file("read", path, e))?;
    if data.len() as u64 > bytes_max {
        return Err(Error::new(Kind::Config, format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(data)
}

/// [`read`] as UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String> {
    String::from_utf8(read(path, bytes_max)?)
        .map_err(|_| Error::new(Kind::Config, format!("{} is not UTF-8", path.display())))
}

/// Creates a new private file with this content, durably. Fails where it exists.
pub fn write_new_durable(path: &Path, data: &[u8]) -> Result<()> {
    let mut file = create_new(path, 0o600)?;
    file.write_all(data).and_then(|()| file.sync_all()).map_err(|e| {
        let _ = fs::remove_file(path); // half a file would look complete
        Error::file("write", path, e)
    })?;
    sync_parent(path)
}

/// Replaces the content of a private file: after a crash it is the old one or the new one.
pub fn replace_durable(path: &Path, data: &[u8]) -> Result<()> {
    let staged = staged_path(path);
    let how = OpenOptions::new().write(true).clone();
    let mut file = owner::open_or_create(&staged, &how, 0o600)
        .and_then(|file| file.set_len(0).map(|()| file))
        .map_err(|e| Error::file("create", &staged, e))?;
    file.write_all(data).map_err(|e| Error::file("write", &staged, e))?;
    publish(file, &staged, path)
}

/// Appends to a file that another program reads, such as the runner of a pipeline; creates it where it is
/// missing. Neither atomic nor durable.
pub fn append(path: &Path, data: &[u8]) -> Result<()> {
    let how = OpenOptions::new().append(true).clone();
    let mut file = owner::open_or_create(path, &how, 0o600).map_err(|e| Error::file("open", path, e))?;
    file.write_all(data).map_err(|e| Error::file("write", path, e))
}

/// [`replace_durable`] for a file that everybody may read, such as metrics.
pub fn replace_shared(path: &Path, data: &[u8]) -> Result<()> {
    let staged = staged_path(path);
    let how = OpenOptions::new().write(true).clone();
    let mut file = owner::open_or_create(&staged, &how, 0o644)
        .and_then(|file| file.set_len(0).map(|()| file))
        .map_err(|e| Error::file("create", &staged, e))?;
    give(&file, &staged, 0o644, None)?; // whatever the umask is
    file.write_all(data).map_err(|e| Error::file("write", &staged, e))?;
    publish(file, &staged, path)
}

/// Syncs a staged file, renames it to its final name and syncs the directory.
pub fn publish(file: File, staged: &Path, path: &Path) -> Result<()> {
    file.sync_all().map_err(|e| Error::file("sync", staged, e))?;
    drop(file);
    rename_durable(staged, path)
}

/// Renames and syncs both directories. Replaces a file at `to`; a directory only when empty.
fn rename_durable(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::file(&format!("rename to {}:", to.display()), from, e))?;
    sync_parent(to)?;
    if from.parent() != to.parent() {
        sync_parent(from)?;
    }
    Ok(())
}

/// Makes `to`, which is empty, a clone of `from` that shares its blocks; false where the file system cannot.
pub fn clone_blocks(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Renames without making it durable, for files that can be made again. Replaces a file at `to`.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::file(&format!("rename to {}:", to.display()), from, e))
}

/// Renames where `to` does not exist; `AlreadyExists` where it does. Not durable by itself.
pub fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags};
    use rustix::io::Errno;
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // NFS and some others do not know the flag; a link is as atomic.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        done => Ok(done?),
    }
}

/// Where a file is staged before [`publish`]: beside it, with `.new` at the end of its name.
pub fn staged_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Syncs the directory that contains `path`.
pub fn sync_parent(path: &Path) -> Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::file("sync directory", dir, e))
}

/// Bytes that an ordinary user can still write to the file system of `path`, or of its nearest existing
/// parent.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let mut at = path;
    while !at.exists() {
        match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => at = parent,
            _ => {
                at = Path::new(".");
                break;
            }
        }
    }
    let stat = rustix::fs::statvfs(at).map_err(|e| Error::file("ask for free space of", at, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// An exclusive lock on a file, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl FileLock {
    /// The lock as the standard input of a child, which then holds it as well: until both have ended.
    pub fn hand_on(&self) -> Result<std::process::Stdio> {
        let file = self.file.try_clone();
        file.map(Into::into)
            .map_err(|e| Error::new(Kind::Io, "cannot pass a lock to another process").because(e))
    }
}

/// Takes the lock without waiting; `None` where another process holds it. The file is created where it does
/// not exist, and never removed.
pub fn try_lock(path: &Path) -> Result<Option<FileLock>> {
    let file = open_or_create(path)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(FileLock { file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(Error::file("lock", path, e.into())),
    }
}

/// Removes a file; no error where it does not exist.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path, e)),
        _ => Ok(()),
    }
}

/// Removes one of our directory trees; no error where it does not exist. Never follows links, never leaves
/// the file system.
pub fn remove_tree(path: &Path) -> Result<()> {
    let Some(name) = path.file_name() else {
        return Err(Error::file("remove", path, std::io::ErrorKind::InvalidInput.into()));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match beneath::Dir::open(parent).and_then(|parent| parent.remove_tree(name)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path, e)),
        _ => Ok(()),
    }
}

/// The entries of a directory, unsorted; `None` where there is no such directory.
pub fn read_dir(dir: &Path) -> Result<Option<Vec<fs::DirEntry>>> {
    match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("list", dir, e)),
        Ok(entries) => {
            entries.collect::<std::io::Result<Vec<_>>>().map(Some).map_err(|e| Error::file("list", dir, e))
        }
    }
}

/// Metadata of `path` itself (links are not followed); `None` where it does not exist.
pub fn metadata(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("look at", path, e)),
    }
}

/// Whether `path` is a directory, or a link to one.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_files_are_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new_durable(&path, b"one").unwrap();
        check_secret("key", &path).unwrap();
        let again = write_new_durable(&path, b"two").unwrap_err();
        assert_eq!(again.kind(), Kind::AlreadyExists);
        assert_eq!(read(&path, 10).unwrap(), b"one");
        assert!(read(&path, 2).is_err(), "a file beyond its bound is refused");
        replace_durable(&path, b"three").unwrap();
        assert_eq!(read(&path, 10).unwrap(), b"three");
    }

    #[test]
    fn renaming_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        write_new_durable(&a, b"a").unwrap();
        write_new_durable(&b, b"b").unwrap();
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(read(&b, 9).unwrap(), b"b");
        rename_new(&a, &dir.path().join("c")).unwrap();
        assert_eq!(read(&dir.path().join("c"), 9).unwrap(), b"a");
    }

    #[test]
    fn a_lock_excludes_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
