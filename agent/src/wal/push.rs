//! `archive_command`: a WAL file into the repository, checked before it is stored.
//!
//! PostgreSQL calls once a file and waits. Where more files are ready behind it, a process is left that stores them
//! (`along`), and the state directory remembers which (`pushed`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::along;
use super::pushed::Pushed;
use crate::archive::wal_page::{HEADER_BYTES, SegmentHeader};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, WalFile};
use crate::repository::Repository;
use crate::repository::wal::{Content, Put};

/// The largest history or backup file that is stored; real ones have a few lines.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Whether the WAL file at `path` is known to be durable in the repository: asks neither the store nor for any key,
/// and waits for a process that is storing it. Blocking. `false` where only [`push`] can tell.
pub fn is_stored(config: &Config, path: &Path) -> bool {
    Pushed::open(config).take(path)
}

/// Stores the WAL file at `path`. Durable in the repository when this succeeds; idempotent. Begins to store what is
/// ready behind it.
///
/// # Errors
/// `Integrity` where the file is not what its name says, `Repository` where it is another
/// cluster's, `AlreadyExists` where other bytes are stored under its name, and those of the store.
pub async fn push(config: &Config, path: &Path, cancel: &CancellationToken) -> Result<Put> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::new(Kind::Interrupted, format!("stopped while storing {}", path.display()))
            .effect("it may be stored or not; PostgreSQL keeps it and will try again")),
        done = run(config, path) => done,
    }
}

async fn run(config: &Config, path: &Path) -> Result<Put> {
    let keys = super::keys(config)?;
    let source = Source::open(path)?;
    if let (WalFile::Segment(segment), Ok(size)) =
        (source.file, SegmentBytes::try_from(u64::from(source.content.bytes())))
    {
        along::begin(config, path, segment, size);
    }
    let repository = Repository::configured(config).await?;
    let origin = match source.system_identifier.as_deref() {
        Some(system) => repository.bind(Some(system)).await?,
        None => repository.origin().await?,
    };
    super::writer(config, repository, origin, keys)?.put_file(source.file, source.content).await
}

/// A file to be stored, checked to be what its name says.
pub(super) struct Source {
    pub file: WalFile,
    pub content: Arc<dyn Content>,
    /// Whose it is, where that can be known.
    pub system_identifier: Option<String>,
}

impl Source {
    pub fn open(path: &Path) -> Result<Source> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file: WalFile = name.parse().map_err(|e: Error| {
            e.next("archive_command = 'lifeboat wal push %p': %p is the path of a file in pg_wal")
        })?;
        let opened = disk::open(path)?;
        let bytes = opened.metadata().map_err(|e| Error::file("look at", path, e))?.len();
        let content = OnDisk { file: opened, path: path.to_owned(), bytes: bytes.min(1 << 31) as u32 };
        let system = match file {
            WalFile::Segment(segment) | WalFile::Partial(segment) => {
                let mut header = Vec::new();
                content.range(0..content.bytes.min(HEADER_BYTES as u32), &mut header)?;
                let checked = SegmentHeader::parse(&header).and_then(|header| {
                    header.check_name(segment)?;
                    if bytes != header.segment_bytes.get() {
                        let what = format!(
                            "it has {bytes} bytes, a segment of its cluster has {}",
                            header.segment_bytes.get()
                        );
                        return Err(Error::new(Kind::Integrity, what));
                    }
                    Ok(header.system_identifier.to_string())
                });
                Some(checked.map_err(|e| {
                    e.context(format!("{} is not the WAL segment that its name says", path.display()))
                        .effect("it was not stored; PostgreSQL keeps it")
                        .next("look whether something else writes into pg_wal; a file that is damaged needs a new base backup behind it")
                })?)
            }
            WalFile::History(_) | WalFile::Backup(..) if bytes == 0 || bytes > TEXT_BYTES_MAX => {
                let what = format!("{} has {bytes} bytes, which no such file has", path.display());
                return Err(
                    Error::new(Kind::Integrity, what).effect("it was not stored; PostgreSQL keeps it")
                );
            }
            WalFile::History(_) | WalFile::Backup(..) => control_file(path),
        };
        Ok(Source { file, content: Arc::new(content), system_identifier: system })
    }
}

/// The system identifier in `global/pg_control` of the cluster whose `pg_wal` holds `path`: its
/// first eight bytes.
fn control_file(path: &Path) -> Option<String> {
    let data_dir = path.parent()?.join("..");
    let bytes = disk::read(&data_dir.join("global/pg_control"), 64 << 10).ok()?;
    Some(u64::from_le_bytes(*bytes.first_chunk::<8>()?).to_string())
}

struct OnDisk {
    file: File,
    path: PathBuf,
    bytes: u32,
}

impl Content for OnDisk {
    fn bytes(&self) -> u32 {
        self.bytes
    }

    fn range(&self, range: Range<u32>, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.reserve(range.len());
        let mut file = &self.file;
        file.seek(SeekFrom::Start(range.start.into()))
            .and_then(|_| file.take(range.len() as u64).read_to_end(into))
            .map_err(|e| Error::file("read", &self.path, e))?;
        if into.len() < range.len() {
            let what = format!("{} became shorter while it was read", self.path.display());
            return Err(Error::new(Kind::Integrity, what).effect("it was not stored; PostgreSQL keeps it"));
        }
        Ok(())
    }
}
