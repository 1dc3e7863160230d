//! A directory as a store: reading, and what reading and writing share. Writing is in [`super::local_write`].
//!
//! All file work happens on blocking threads.

use std::collections::HashSet;
use std::fs::{File, FileType};
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{ObjectInfo, Streamed, key};
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;

/// The size of one piece of a stream.
const PIECE_BYTES: u64 = 1 << 20;

/// A directory with a repository.
#[derive(Clone, Debug)]
pub(super) struct Local {
    root: Arc<Path>,
    /// Directories that this process knows to be durable.
    pub(super) durable_dirs: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Local {
    pub(super) fn new(root: PathBuf) -> Local {
        Local { root: root.into(), durable_dirs: Arc::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, key: &str) -> PathBuf {
        if key.is_empty() { self.root.to_path_buf() } else { self.root.join(key) }
    }

    pub(super) async fn get(&self, key: &str, bytes_max: u64) -> Result<Bytes> {
        let (local, key) = (self.clone(), key.to_owned());
        blocking(move || local.get_whole(&key, bytes_max)).await
    }

    /// [`Local::get`] on this thread.
    pub(super) fn get_whole(&self, key: &str, bytes_max: u64) -> Result<Bytes> {
        let (file, bytes) = self.open(key)?;
        if bytes > bytes_max {
            return Err(too_large(key, &self.root.display().to_string(), bytes, bytes_max));
        }
        self.read(&file, key, 0..bytes)
    }

    pub(super) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let (local, key) = (self.clone(), key.to_owned());
        blocking(move || {
            let (file, bytes) = local.open(&key)?;
            if range.end > bytes {
                return Err(local.short(&key, bytes, range.end));
            }
            local.read(&file, &key, range)
        })
        .await
    }

    pub(super) async fn get_stream(&self, key: &str) -> Result<Streamed> {
        let (local, key) = (self.clone(), key.to_owned());
        let (file, found, key) = {
            let local = local.clone();
            blocking(move || {
                let (file, bytes) = local.open(&key)?;
                let meta = file.metadata().map_err(|e| local.error("look at", &key, e))?;
                Ok((file, ObjectInfo { bytes, ..info(key.clone(), &meta) }, key))
            })
            .await?
        };
        let bytes = found.bytes;
        let state = Some((local, key, file, 0));
        let pieces = stream::unfold(state, move |state| async move {
            let (local, key, file, at) = state.filter(|(.., at)| *at < bytes)?;
            let read = blocking(move || {
                let end = bytes.min(at + PIECE_BYTES);
                local.read(&file, &key, at..end).map(|piece| (piece, (local, key, file, end)))
            });
            match read.await {
                Ok((piece, next)) => Some((Ok(piece), Some(next))),
                Err(e) => Some((Err(e), None)),
            }
        });
        Ok((found, pieces.boxed()))
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        let (local, key) = (self.clone(), key.to_owned());
        blocking(move || match std::fs::symlink_metadata(local.path(&key)) {
            Ok(meta) if meta.is_dir() => Ok(None),
            Ok(meta) => Ok(Some(info(key, &meta))),
            Err(e) => match local.error("look at", &key, e) {
                e if e.kind() == Kind::NotFound => Ok(None),
                e => Err(e),
            },
        })
        .await
    }

    pub(super) async fn probe(&self, prefix: &str) -> Result<bool> {
        let name = key::join(prefix, &format!("probe-{}", random_hex(8)));
        self.put_new(&name, Bytes::from_static(b"1")).await?;
        let second = self.put_new(&name, Bytes::from_static(b"2")).await;
        disk::remove_file(&self.path(&name))?;
        match second {
            Ok(()) => Ok(false),
            Err(e) if e.kind() == Kind::AlreadyExists => Ok(true),
            Err(e) => Err(e),
        }
    }

    pub(super) fn open(&self, key: &str) -> Result<(File, u64)> {
        let path = self.path(key);
        let failed = |e| self.error("read", key, e);
        // Checked before it is opened, and again afterwards: opening a device may have an effect.
        self.check_kind(key, std::fs::symlink_metadata(&path).map_err(failed)?.file_type())?;
        let file = disk::open_nofollow(&path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        self.check_kind(key, meta.file_type())?;
        Ok((file, meta.len()))
    }

    fn check_kind(&self, key: &str, kind: FileType) -> Result<()> {
        if let Some(odd) = odd(kind) {
            let what = format!("{key} in {} cannot be read: {odd}", self.root.display());
            return Err(Error::new(Kind::Integrity, what)
                .next("find out who made it; run lifeboat verify: it lists every damaged object"));
        }
        match kind.is_dir() {
            true => Err(self.error("read", key, ErrorKind::NotFound.into())),
            false => Ok(()),
        }
    }

    fn read(&self, file: &File, key: &str, range: Range<u64>) -> Result<Bytes> {
        let length = range.end - range.start;
        let mut data = Vec::with_capacity(length as usize);
        let read = At { file, at: range.start }.take(length).read_to_end(&mut data);
        match read.map_err(|e| self.error("read", key, e))? as u64 {
            n if n == length => Ok(data.into()),
            n => Err(self.short(key, range.start + n, range.end)),
        }
    }

    fn short(&self, key: &str, bytes: u64, end: u64) -> Error {
        let root = self.root.display();
        let what = format!("{key} in {root} ends at byte {bytes}, before byte {end}");
        Error::new(Kind::Integrity, what).next("run lifeboat verify: it lists every damaged object")
    }

    /// A file system error on an object.
    pub(super) fn error(&self, verb: &str, key: &str, source: std::io::Error) -> Error {
        self.explain(verb, key, Error::file(verb, &self.path(key), source))
    }

    /// Adds key and store to an error on the object's file.
    pub(super) fn explain(&self, verb: &str, key: &str, error: Error) -> Error {
        let root = self.root.display();
        if is_not_a_directory(&error) || error.kind() == Kind::NotFound {
            // Without this, a repository that is not mounted would look like an empty one.
            if !self.root.is_dir() {
                return Error::new(Kind::Repository, format!("repository {root} no longer exists"))
                    .because(error)
                    .next("mount the file system that belongs there, then run again");
            }
            return Error::new(Kind::NotFound, format!("{key} is not in {root}"))
                .because(error)
                .next("run lifeboat verify: it lists every missing object");
        }
        let next = match error.kind() {
            Kind::Denied => "check owner and mode of the repository's directories",
            Kind::NoSpace => "make room on that file system or raise the quota, then run again",
            Kind::AlreadyExists => {
                "look at that object: this agent did not write it, and nothing was overwritten"
            }
            _ => "check the file system and the kernel's log",
        };
        error.context(format!("cannot {verb} {key} in {root}")).next(next)
    }
}

/// Reads a file from a position, without moving the file's own position.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

pub(super) fn info(key: String, meta: &std::fs::Metadata) -> ObjectInfo {
    let modified = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    let odd = odd(meta.file_type());
    let bytes = if odd.is_none() { meta.len() } else { 0 };
    // Whoever writes into a file changes its ctime, which nobody can set.
    let etag = format!("{:x}-{:x}-{:x}", meta.ino(), meta.ctime(), meta.ctime_nsec());
    ObjectInfo { key, bytes, modified: modified.unwrap_or_default(), etag: Some(etag), odd }
}

/// What this is, where it is not a regular file: it may block, never end, or lead elsewhere, so it is never
/// read. Directories are not objects, as in a bucket.
fn odd(kind: FileType) -> Option<&'static str> {
    Some(match kind {
        _ if kind.is_file() || kind.is_dir() => return None,
        _ if kind.is_symlink() => "it is a symbolic link, not an object",
        _ if kind.is_fifo() => "it is a FIFO, not an object",
        _ if kind.is_socket() => "it is a socket, not an object",
        _ => "it is a device, not an object",
    })
}

/// The error for an object that is larger than allowed.
pub(super) fn too_large(key: &str, url: &str, bytes: u64, bytes_max: u64) -> Error {
    Error::new(Kind::Integrity, format!("{key} in {url} has {bytes} bytes; at most {bytes_max} are allowed"))
        .next("run lifeboat verify: it lists every damaged object")
}

fn is_not_a_directory(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<std::io::Error>());
    source.is_some_and(|e| e.kind() == ErrorKind::NotADirectory)
}

/// Runs file work on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(Error::new(Kind::Internal, "a file task was stopped").because(e)),
    }
}
