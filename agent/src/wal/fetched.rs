//! Keeps segments that were fetched ahead until PostgreSQL asks for them. Each target directory has a
//! directory of its own, so that two clusters do not take each other's segments. Its size is limited, and all
//! of it may be lost.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive::digest::Sha256;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk::{self, FileLock};
use crate::error::{Error, Kind, Result};
use crate::names::wal::SegmentName;

/// Older segments are not used: that recovery is over.
const AGE_MAX: Duration = Duration::from_secs(3600);
/// Its name among the segments.
const LOCK: &str = "lock";

/// Complete segments, checked when they were fetched, each in a file named `<segment>-<size>-<time>-<boot>`:
/// the state of the file when it was complete, and the boot of this machine, because nothing here is synced.
/// A file whose state differs now is not used. Segments that are being fetched are called
/// `<segment>.<process>.new`.
pub struct Fetched {
    dir: PathBuf,
}

impl Fetched {
    /// The segments of one repository, instance and target directory.
    pub fn open(config: &Config, target: &Path) -> Fetched {
        let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
        let place = target.parent().unwrap_or(&target).display().to_string();
        let key = format!("{}\n{}\n{place}", config.repository.url, config.instance);
        let name = Sha256::of(key.as_bytes()).to_string();
        Fetched { dir: super::state_dir(config).join("fetched").join(&name[..16]) }
    }

    /// The right to fetch ahead; `None` while another process does.
    pub fn lock(&self) -> Result<Option<FileLock>> {
        disk::create_private_dir(&self.dir)?;
        disk::try_lock(&self.dir.join(LOCK))
    }

    /// Where a segment is assembled before [`Fetched::keep`].
    pub fn staged(&self, segment: SegmentName) -> PathBuf {
        self.dir.join(format!("{segment}.{}.new", std::process::id()))
    }

    /// Keeps a staged segment, which is complete. It need not be durable.
    pub fn keep(&self, segment: SegmentName, staged: &Path) -> Result<()> {
        let state = state(staged)?;
        disk::rename(staged, &self.dir.join(format!("{segment}-{state}")))
    }

    /// Moves a kept segment to `target`, where there is one and it is unchanged.
    pub fn take(&self, segment: SegmentName, target: &Path) -> Result<bool> {
        let Some((path, was)) = self.find(segment)? else { return Ok(false) };
        if state(&path).ok().as_ref() != Some(&was) {
            disk::remove_file(&path)?;
            return Ok(false);
        }
        if disk::rename(&path, target).is_ok() {
            return Ok(true);
        }
        // On another file system, most likely.
        let Ok(mut file) = disk::open(&path) else { return Ok(false) }; // another fetch took it
        let staged = disk::staged_path(target);
        let mut copy = disk::open_or_create(&staged)?;
        let copied = copy.set_len(0).and_then(|()| std::io::copy(&mut file, &mut copy));
        copied.map_err(|e| Error::file("copy", &path, e))?;
        disk::rename(&staged, target)?;
        disk::remove_file(&path)?;
        Ok(true)
    }

    /// Whether it is kept.
    pub fn holds(&self, segment: SegmentName) -> bool {
        self.find(segment).is_ok_and(|found| found.is_some())
    }

    /// Whether another process is fetching it now.
    pub fn is_coming(&self, segment: SegmentName) -> bool {
        let (prefix, entries) = (format!("{segment}."), disk::read_dir(&self.dir).ok().flatten());
        let staged = entries
            .unwrap_or_default()
            .iter()
            .any(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)));
        // The file of a killed process exists although nobody holds the lock.
        staged && self.lock().is_ok_and(|lock| lock.is_none())
    }

    fn find(&self, segment: SegmentName) -> Result<Option<(PathBuf, String)>> {
        let entries = disk::read_dir(&self.dir)?.unwrap_or_default();
        let prefix = format!("{segment}-");
        Ok(entries.iter().find_map(|entry| {
            let digest = entry.file_name().to_str()?.strip_prefix(&prefix)?.to_owned();
            is_recent(&entry.path()).then(|| (entry.path(), digest))
        }))
    }

    /// Removes all but these and the lock, which the caller holds: what an earlier recovery or a killed
    /// process left.
    pub fn retain(&self, wanted: &[SegmentName]) -> Result<()> {
        for entry in disk::read_dir(&self.dir)?.unwrap_or_default() {
            let name = entry.file_name();
            let kept = name.to_str().and_then(|name| name.split_once('-')?.0.parse::<SegmentName>().ok());
            if name != LOCK && kept.is_none_or(|segment| !wanted.contains(&segment)) {
                disk::remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes everything that nobody uses: in this directory, where nobody fetches ahead, and old files in
    /// the others.
    pub fn clean_up(&self) -> Result<()> {
        if let Some(_lock) = self.lock()? {
            self.retain(&[])?;
        }
        let all = self.dir.parent().map(disk::read_dir).transpose()?.flatten();
        for entry in all.unwrap_or_default() {
            let other = Fetched { dir: entry.path() };
            if !is_recent(&other.dir)
                && let Some(_lock) = other.lock()?
            {
                disk::remove_tree(&other.dir)?;
            }
        }
        Ok(())
    }
}

/// The state of a complete file, as its name contains it.
fn state(path: &Path) -> Result<String> {
    let missing = || Error::new(Kind::NotFound, format!("{} no longer exists", path.display()));
    let meta = disk::metadata(path)?.ok_or_else(missing)?;
    let boot = disk::boot_id()?;
    Ok(format!("{}-{}.{:09}-{}", meta.size(), meta.mtime(), meta.mtime_nsec(), boot))
}

fn is_recent(path: &Path) -> bool {
    let modified = disk::metadata(path).ok().flatten().and_then(|meta| meta.modified().ok());
    let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
    modified.is_some_and(|at| clock::now().duration_since(at).unsigned_abs() < AGE_MAX)
}
