//! Writes objects into a directory: private, durable, and never over an existing one.
//!
//! An object is written as `name#<number>` beside its final name (a name that no key can have), synced, and
//! renamed in a way that fails where the name exists.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::local::{Local, blocking};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;

/// How much is collected before a blocking thread writes it.
const GATHER_BYTES: usize = 1 << 20;
/// Directories that are remembered as durable; beyond that, all are forgotten and synced again.
const DURABLE_DIRS_MAX: usize = 10_000;

/// An object that is being written; removed when dropped before [`Writer::finish`].
#[derive(Debug)]
pub(super) struct Writer {
    staged: Staged,
    gathered: Vec<Bytes>,
    bytes: usize,
    /// The file, or the write that uses it.
    file: Hand,
}

#[derive(Debug)]
enum Hand {
    Idle(File),
    Writing(JoinHandle<Result<File>>),
    /// A write failed.
    Gone,
}

/// The staged file; dropping removes it.
#[derive(Debug)]
struct Staged {
    local: Local,
    key: String,
    path: PathBuf,
    /// Directories above it that must be durable when it is.
    made: Vec<PathBuf>,
    published: bool,
}

impl Writer {
    pub(super) fn begin(local: Local, key: String) -> Result<Writer> {
        let (staged, file) = Staged::begin(local, key)?;
        Ok(Writer { staged, gathered: Vec::new(), bytes: 0, file: Hand::Idle(file) })
    }

    /// Appends. One write runs while the next data is collected.
    pub(super) async fn write(&mut self, data: Bytes) -> Result<()> {
        self.bytes += data.len();
        self.gathered.push(data);
        if self.bytes >= GATHER_BYTES {
            let file = self.idle().await?;
            let write = self.writing(file);
            self.file = Hand::Writing(tokio::task::spawn_blocking(write));
        }
        Ok(())
    }

    /// Syncs and publishes.
    pub(super) async fn finish(mut self) -> Result<()> {
        let file = self.idle().await?;
        let (write, staged) = (self.writing(file), self.staged);
        blocking(move || staged.publish(write()?)).await
    }

    /// Removes what was written.
    pub(super) fn abort(mut self) -> Result<()> {
        self.staged.published = true; // so that dropping it does not remove it
        disk::remove_file(&self.staged.path)
    }

    fn writing(&mut self, mut file: File) -> impl FnOnce() -> Result<File> + Send + use<> {
        let pieces = std::mem::take(&mut self.gathered);
        self.bytes = 0;
        let (local, key, path) =
            (self.staged.local.clone(), self.staged.key.clone(), self.staged.path.clone());
        move || {
            for piece in pieces {
                file.write_all(&piece)
                    .map_err(|e| local.explain("store", &key, Error::file("write", &path, e)))?;
            }
            Ok(file)
        }
    }

    async fn idle(&mut self) -> Result<File> {
        match std::mem::replace(&mut self.file, Hand::Gone) {
            Hand::Idle(file) => Ok(file),
            Hand::Writing(write) => match write.await {
                Ok(done) => done,
                Err(e) => Err(Error::new(Kind::Internal, "a file task was stopped").because(e)),
            },
            Hand::Gone => {
                let (key, root) = (&self.staged.key, self.staged.local.root().display());
                let what = format!("cannot finish {key} in {root}: an earlier write failed");
                Err(Error::new(Kind::Internal, what))
            }
        }
    }
}

/// Writes and publishes data that is complete. Blocking.
pub(super) fn put_new(local: &Local, key: &str, data: &[u8]) -> Result<()> {
    let (staged, mut file) = Staged::begin(local.clone(), key.to_owned())?;
    file.write_all(data)
        .map_err(|e| staged.local.explain("store", &staged.key, Error::file("write", &staged.path, e)))?;
    match staged.publish(file) {
        // As remote stores do: storing the same bytes again is not an error.
        Err(e) if e.kind() == Kind::AlreadyExists => match local.get_whole(key, data.len() as u64) {
            Ok(there) if there == data => Ok(()),
            _ => Err(e),
        },
        outcome => outcome,
    }
}

/// Syncs an existing object, and the directory entries above it. Blocking.
fn make_durable(local: &Local, key: &str) -> Result<()> {
    let explain = |e| local.explain("sync", key, e);
    let path = local.path(key);
    let (file, _) = local.open(key)?;
    file.sync_all().map_err(|e| explain(Error::file("sync", &path, e)))?;
    disk::sync_parent(&path).map_err(explain)?;
    let dirs: Vec<PathBuf> =
        path.ancestors().skip(1).take_while(|dir| *dir != local.root()).map(PathBuf::from).collect();
    let all_are = |durable: &HashSet<PathBuf>| dirs.iter().all(|dir| durable.contains(dir));
    if all_are(&local.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(());
    }
    dirs.iter().try_for_each(|dir| disk::sync_parent(dir)).map_err(explain)?;
    local.are_durable(&dirs);
    Ok(())
}

impl Staged {
    fn begin(local: Local, key: String) -> Result<(Staged, File)> {
        let target = local.path(&key);
        let mut made = Vec::new();
        if let Some(dir) = target.parent() {
            made = local.make_dir(dir).map_err(|e| local.explain("store", &key, e))?;
        }
        let number = u64::from_str_radix(&random_hex(7), 16).unwrap_or_default();
        let mut path = target.into_os_string();
        path.push(format!("#{number}"));
        let path = PathBuf::from(path);
        let file = disk::create_new(&path, 0o600).map_err(|e| local.explain("store", &key, e))?;
        Ok((Staged { local, key, path, made, published: false }, file))
    }

    fn publish(mut self, file: File) -> Result<()> {
        let target = self.local.path(&self.key);
        let explain = |e| self.local.explain("store", &self.key, e);
        // Also closes: network file systems may report a full disk only here.
        file.sync_all().map_err(|e| explain(Error::file("sync", &self.path, e)))?;
        drop(file);
        let renamed = disk::rename_new(&self.path, &target).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let root = self.local.root().display();
                Error::new(
                    Kind::AlreadyExists,
                    format!("{} is already in {root} with other content", self.key),
                )
                .next("look at that object: this agent did not write it, and nothing was overwritten")
            }
            _ => explain(Error::file("rename", &self.path, e)),
        });
        // An object with the same bytes counts as stored: the process that wrote it may have been killed
        // before it was durable.
        if renamed.as_ref().is_err_and(|e| e.kind() != Kind::AlreadyExists) {
            return renamed;
        }
        // From the inside outwards, and after the object: usually one commit of the file system makes all
        // durable.
        disk::sync_parent(&target).map_err(explain)?;
        for dir in self.made.iter().rev() {
            disk::sync_parent(dir).map_err(explain)?;
        }
        self.local.are_durable(&self.made);
        self.published = renamed.is_ok();
        renamed
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published
            && let Err(e) = disk::remove_file(&self.path)
        {
            tracing::debug!(error = ?e, "a temporary file could not be removed");
        }
    }
}

impl Local {
    pub(super) async fn writer(&self, key: &str) -> Result<Writer> {
        let (local, key) = (self.clone(), key.to_owned());
        blocking(move || Writer::begin(local, key)).await
    }

    pub(super) async fn put_new(&self, key: &str, data: Bytes) -> Result<()> {
        let (local, key) = (self.clone(), key.to_owned());
        blocking(move || put_new(&local, &key, &data)).await
    }

    pub(super) async fn make_durable(&self, keys: Vec<String>) -> Result<()> {
        let local = self.clone();
        blocking(move || keys.iter().try_for_each(|key| make_durable(&local, key))).await
    }

    /// Creates the directories from the root down to `dir`, with mode 0700; returns those whose entries must
    /// still be synced, from the root on.
    fn make_dir(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let durable = self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.contains(dir) && dir.is_dir() {
            return Ok(Vec::new());
        }
        let below = dir.strip_prefix(self.root()).unwrap_or(Path::new(""));
        let mut at = self.root().to_path_buf();
        if !at.is_dir() {
            // Never created here: it may be a mount point.
            return Err(Error::file("find directory", &at, std::io::ErrorKind::NotFound.into()));
        }
        let mut made = Vec::new();
        for name in below {
            at.push(name);
            match disk::create_new_dir(&at, 0o700) {
                Err(e) if e.kind() != Kind::AlreadyExists => return Err(e),
                _ => {}
            }
            // Also where another process created it, which may not have synced it yet.
            if !durable.contains(&at) {
                made.push(at.clone());
            }
        }
        Ok(made)
    }

    fn are_durable(&self, dirs: &[PathBuf]) {
        let mut durable = self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= DURABLE_DIRS_MAX {
            durable.clear();
        }
        durable.extend(dirs.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_process_left_is_made_durable_and_what_is_not_there_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (Local::new(dir.path().to_owned()), Local::new(dir.path().to_owned()));
        first.put_new("a/b/object", Bytes::from_static(b"1")).await.unwrap();
        assert!(second.durable_dirs.lock().unwrap().is_empty());
        second.make_durable(vec!["a/b/object".to_owned()]).await.unwrap();
        let known = second.durable_dirs.lock().unwrap().clone();
        assert_eq!(known, *first.durable_dirs.lock().unwrap());
        assert_eq!(known.len(), 2, "{known:?}");
        let absent = second.make_durable(vec!["a/b/object".to_owned(), "a/b/none".to_owned()]).await;
        assert_eq!(absent.unwrap_err().kind(), Kind::NotFound);
    }

    #[tokio::test]
    async fn a_full_disk_is_said_to_be_full_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(dir.path().to_path_buf());
        for bytes in [10, 3 * GATHER_BYTES] {
            let mut writer = Writer::begin(local.clone(), "a/x".to_owned()).unwrap();
            writer.file = Hand::Idle(disk::open_or_create(Path::new("/dev/full")).unwrap());
            let mut outcome = Ok(());
            for _ in 0..bytes.div_ceil(GATHER_BYTES) {
                outcome = outcome.and(writer.write(vec![0; bytes.min(GATHER_BYTES)].into()).await);
            }
            let after = writer.finish().await;
            let error = outcome.and(after).unwrap_err();
            assert_eq!(error.kind(), Kind::NoSpace, "{error:?}");
            assert!(error.what().contains("a/x") && error.what().contains(dir.path().to_str().unwrap()));
            assert!(error.next_text().is_some());
            assert!(disk::read_dir(&dir.path().join("a")).unwrap().unwrap().is_empty());
        }
    }
}
