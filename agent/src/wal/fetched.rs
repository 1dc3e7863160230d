//! Segments that a fetch took with it, until PostgreSQL asks for them. Bounded by `wal.batch`;
//! all of it can be lost.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::archive::digest::{Hashing, Sha256};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Result};
use crate::names::wal::SegmentName;

/// Whole segments, each in a file named `<segment>-<digest of it>`.
pub struct Fetched {
    dir: PathBuf,
}

impl Fetched {
    /// That of one repository and instance.
    pub fn open(config: &Config, repository_id: &str) -> Fetched {
        Fetched { dir: super::state_dir(config).join(format!("fetched-{repository_id}")) }
    }

    /// Where a segment is put together before [`Fetched::keep`].
    pub fn staged(&self, segment: SegmentName) -> Result<PathBuf> {
        disk::create_private_dir(&self.dir)?;
        Ok(self.dir.join(format!("{segment}.{}.new", std::process::id())))
    }

    /// Keeps a staged segment. It need not be durable: what is read back is checked.
    pub fn keep(&self, segment: SegmentName, staged: &Path, digest: Sha256) -> Result<()> {
        disk::rename_durable(staged, &self.dir.join(format!("{segment}-{digest}")))
    }

    /// Writes a kept segment to `out`, if there is one and it is still what it was, and forgets it.
    pub fn take(&self, segment: SegmentName, out: &mut impl Write) -> Result<bool> {
        let Some((path, digest)) = self.find(segment)? else { return Ok(false) };
        let Ok(mut file) = disk::open(&path) else { return Ok(false) }; // another fetch took it
        let mut hashing = Hashing::new(out);
        std::io::copy(&mut file, &mut hashing).map_err(|e| Error::file("copy", &path, e))?;
        disk::remove_file(&path)?;
        Ok(hashing.finish().1.to_string() == digest)
    }

    /// Whether it is kept.
    pub fn holds(&self, segment: SegmentName) -> bool {
        self.find(segment).is_ok_and(|found| found.is_some())
    }

    fn find(&self, segment: SegmentName) -> Result<Option<(PathBuf, String)>> {
        let entries = disk::read_dir(&self.dir)?.unwrap_or_default();
        let prefix = format!("{segment}-");
        Ok(entries.iter().find_map(|entry| {
            let digest = entry.file_name().to_str()?.strip_prefix(&prefix)?.to_owned();
            Some((entry.path(), digest))
        }))
    }

    /// Removes all but these: what a recovery that is over left behind.
    pub fn retain(&self, wanted: &[SegmentName]) -> Result<()> {
        for entry in disk::read_dir(&self.dir)?.unwrap_or_default() {
            let name = entry.file_name();
            let segment = name.to_str().and_then(|name| name.get(..24)?.parse::<SegmentName>().ok());
            if segment.is_none_or(|segment| !wanted.contains(&segment)) {
                disk::remove_file(&entry.path())?;
            }
        }
        Ok(())
    }
}
