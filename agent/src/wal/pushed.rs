//! Records which files were stored before PostgreSQL asked for them, so that its own call for each needs
//! neither the store nor a key. All of it may be lost: the repository then gives the same answer.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive::digest::Sha256;
use crate::archive::manifest::Origin;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk::{self, FileLock};
use crate::error::{Error, Result};
use crate::names::wal::{SegmentName, WalFile};

/// A file that changed this recently may change again without a change of its times: the clocks of file
/// systems are so coarse.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// An older note is ignored: the repository may have changed since.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// How long a call waits for a file that another process is storing, and how often it checks.
const COMING_MAX: Duration = Duration::from_secs(60);
const COMING_WAIT: Duration = Duration::from_millis(2);
/// Longest note that is read.
const NOTE_BYTES_MAX: u64 = 200;
/// The name of the lock among the notes; it contains the name of the segment after which its holder stores.
const LOCK: &str = "lock";
/// The name of the file with the digests of `lifeboat.json` and `instance.json`.
const ORIGIN: &str = "origin";

/// The identity of a file, down to its last change: device, inode, size, mtime and ctime. Whoever writes into
/// a file changes ctime, and cannot set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(String);

impl Stamp {
    /// The stamp of a file that has not changed for a while; `None` for a file that has.
    pub fn of(path: &Path) -> Result<Option<Stamp>> {
        let Some(meta) = disk::metadata(path)? else { return Ok(None) };
        let changed = Timestamp::from_second(meta.ctime()).unwrap_or(Timestamp::MAX);
        let since = Duration::try_from(clock::now().duration_since(changed)).unwrap_or_default();
        let text = format!(
            "{} {} {} {}.{:09} {}.{:09}",
            meta.dev(),
            meta.ino(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        // the times were compared in whole seconds
        Ok((meta.is_file() && since > SETTLED_AFTER + Duration::from_secs(1)).then_some(Stamp(text)))
    }
}

/// One small note for each file, named like the WAL file, with the stamp of what was stored.
pub struct Pushed {
    dir: PathBuf,
}

impl Pushed {
    /// The notes of one repository and instance: a file stored in one is not stored in another.
    pub fn open(config: &Config) -> Pushed {
        let key = format!("{}\n{:?}\n{}", config.repository.url, config.repository.endpoint, config.instance);
        let name = Sha256::of(key.as_bytes()).to_string();
        Pushed { dir: super::state_dir(config).join("pushed").join(&name[..16]) }
    }

    /// Whether the file at `path` is already stored; removes the note. Waits for a process that is storing
    /// it. Blocking.
    pub fn take(&self, path: &Path) -> bool {
        let Some(file) = path.file_name().and_then(|name| name.to_str()?.parse::<WalFile>().ok()) else {
            return false;
        };
        let deadline = clock::instant() + COMING_MAX;
        loop {
            // Checked before the note: it may be written in between.
            let is_coming = self.is_coming(file, path);
            if self.holds(file, path) {
                if let Err(e) = disk::remove_file(&self.note(file)) {
                    tracing::info!("the note that {file} is stored could not be removed: {e:?}");
                }
                return true;
            }
            if !is_coming || clock::instant() > deadline {
                return false;
            }
            clock::sleep_blocking(COMING_WAIT);
        }
    }

    /// Whether exactly this file was stored.
    pub fn holds(&self, file: WalFile, path: &Path) -> bool {
        let note = self.note(file);
        let told = match disk::metadata(&note) {
            Ok(Some(meta)) if is_recent(&meta) => disk::read_text(&note, NOTE_BYTES_MAX).ok(),
            _ => None,
        };
        told.is_some_and(|told| Stamp::of(path).ok().flatten().is_some_and(|stamp| stamp.0 == told))
    }

    /// Whether there is a note of it that was not taken yet.
    pub fn is_noted(&self, file: WalFile) -> bool {
        disk::metadata(&self.note(file)).is_ok_and(|meta| meta.is_some())
    }

    /// Records that the file that had this stamp before it was read is durable in the repository, unless it
    /// changed meanwhile. The note itself is not made durable: without it, the store is asked.
    pub fn remember(&self, file: WalFile, path: &Path, stamp: &Stamp) -> Result<()> {
        if Stamp::of(path)?.as_ref() != Some(stamp) {
            return Ok(());
        }
        let note = self.note(file);
        let staged = disk::staged_path(&note);
        let mut out = disk::open_or_create(&staged)?;
        let wrote = out.set_len(0).and_then(|()| out.write_all(stamp.0.as_bytes()));
        wrote.map_err(|e| Error::file("write", &staged, e))?;
        disk::rename(&staged, &note)
    }

    /// Whether this origin was compared with signed snapshots before.
    pub fn knows(&self, origin: &Origin) -> bool {
        disk::read_text(&self.dir.join(ORIGIN), NOTE_BYTES_MAX).is_ok_and(|known| known == digests(origin))
    }

    /// Remembers that it was compared.
    pub fn remember_origin(&self, origin: &Origin) -> Result<()> {
        disk::create_private_dir(&self.dir)?;
        disk::replace_durable(&self.dir.join(ORIGIN), digests(origin).as_bytes())
    }

    /// The right to store the files after `segment`; `None` while another process has it.
    pub fn lock(&self, segment: SegmentName) -> Result<Option<FileLock>> {
        disk::create_private_dir(&self.dir)?;
        let path = self.dir.join(LOCK);
        let Some(lock) = disk::try_lock(&path)? else { return Ok(None) };
        let mut file = disk::open_or_create(&path)?;
        file.write_all(segment.to_string().as_bytes()).map_err(|e| Error::file("write", &path, e))?;
        Ok(Some(lock))
    }

    /// Whether another process will store this file or end: it is ready, and comes after the segment at which
    /// that process began.
    fn is_coming(&self, file: WalFile, path: &Path) -> bool {
        let lock = self.dir.join(LOCK);
        let begun = disk::read_text(&lock, NOTE_BYTES_MAX).ok().and_then(|name| name.parse().ok());
        let WalFile::Segment(segment) = file else { return false };
        begun.is_some_and(|begun: SegmentName| segment > begun)
            && is_ready(path)
            && Stamp::of(path).is_ok_and(|stamp| stamp.is_some())
            && disk::try_lock(&lock).is_ok_and(|lock| lock.is_none())
    }

    /// Removes the notes that are too old. The caller holds the lock.
    pub fn clean_up(&self) -> Result<()> {
        for entry in disk::read_dir(&self.dir)?.unwrap_or_default() {
            let old = disk::metadata(&entry.path())?.is_some_and(|meta| !is_recent(&meta));
            if entry.file_name() != LOCK && entry.file_name() != ORIGIN && old {
                disk::remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    fn note(&self, file: WalFile) -> PathBuf {
        self.dir.join(file.to_string())
    }
}

fn digests(origin: &Origin) -> String {
    format!("{} {}", origin.repository_sha256, origin.instance_sha256)
}

/// Whether PostgreSQL wants the file at `path` archived.
pub fn is_ready(path: &Path) -> bool {
    has_marker(path, "ready")
}

/// Whether PostgreSQL wants, or wanted, the file at `path` archived: the server has finished it.
pub fn is_marked(path: &Path) -> bool {
    has_marker(path, "ready") || has_marker(path, "done")
}

fn has_marker(path: &Path, extension: &str) -> bool {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return false;
    };
    let marker = dir.join("archive_status").join(format!("{name}.{extension}"));
    disk::metadata(&marker).is_ok_and(|meta| meta.is_some())
}

fn is_recent(note: &std::fs::Metadata) -> bool {
    let written = Timestamp::from_second(note.mtime()).ok();
    written.is_some_and(|at| clock::now().duration_since(at).unsigned_abs() < AGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    const NAME: &str = "000000010000000000000003";

    #[test]
    fn a_note_holds_for_exactly_the_file_that_was_stored() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("instance = \"prod\"\nstate_dir = {:?}\n[repository]\nurl = \"/r\"\n", dir.path());
        let config = Config::parse(&dir.path().join("lifeboat.toml"), &text, &Inputs::default()).unwrap();
        let pushed = Pushed::open(&config);
        let (path, file) = (dir.path().join(NAME), NAME.parse().unwrap());
        disk::write_new_durable(&path, b"wal").unwrap();
        assert_eq!(Stamp::of(&path).unwrap(), None, "it may still change unseen");
        let _lock = pushed.lock("000000010000000000000002".parse().unwrap()).unwrap().unwrap();
        let wait = SETTLED_AFTER + Duration::from_millis(2100);
        clock::sleep_blocking(wait);
        let stamp = Stamp::of(&path).unwrap().unwrap();
        pushed.remember(file, &path, &Stamp("other".to_owned())).unwrap();
        assert!(!pushed.holds(file, &path), "it changed while it was stored");
        pushed.remember(file, &path, &stamp).unwrap();
        assert!(pushed.holds(file, &path));
        // other bytes of the same length, with mtime set back as a program can
        let before = disk::metadata(&path).unwrap().unwrap().mtime();
        let written = disk::open_or_create(&path).unwrap();
        (&written).write_all(b"law").unwrap();
        let time = rustix::fs::Timespec { tv_sec: before, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&written, &times).unwrap();
        clock::sleep_blocking(wait);
        assert!(!pushed.holds(file, &path));
        pushed.remember(file, &path, &Stamp::of(&path).unwrap().unwrap()).unwrap();
        assert!(pushed.take(&path));
        assert!(!pushed.take(&path), "it is forgotten once it was asked for");
    }
}
