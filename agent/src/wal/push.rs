//! `archive_command`: a WAL file into the repository, checked before it is stored.
//!
//! PostgreSQL calls once a file and waits. Where more files are ready behind it, one call takes
//! them along, several at once, and the state directory remembers them.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::pushed::Pushed;
use crate::archive::wal_page::{HEADER_BYTES, SegmentHeader};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::wal::WalFile;
use crate::repository::Repository;
use crate::repository::wal::{Content, Put, WalWriter};

/// The largest history or backup file that is stored; real ones have a few lines.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether the file was stored by this call.
    pub put: Put,
    /// Files that were stored along with it.
    pub along: usize,
}

/// Stores the WAL file at `path`. Durable in the repository when this succeeds; idempotent.
///
/// # Errors
/// `Integrity` where the file is not what its name says, `Repository` where it is another
/// cluster's, `AlreadyExists` where other bytes are stored under its name, and those of the store.
/// What happens to files taken along is never an error: PostgreSQL comes back for each.
pub async fn push(config: &Config, path: &Path, cancel: &CancellationToken) -> Result<Report> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::new(Kind::Interrupted, format!("stopped while storing {}", path.display()))
            .effect("it may be stored or not; PostgreSQL keeps it and will try again")),
        done = run(config, path) => done,
    }
}

async fn run(config: &Config, path: &Path) -> Result<Report> {
    let keys = super::keys(config)?;
    let source = Source::open(path)?;
    let repository = Repository::configured(config).await?;
    let origin = match source.system_identifier.as_deref() {
        Some(system) => repository.bind(Some(system)).await?,
        None => repository.origin().await?,
    };
    let pushed = Pushed::open(config, repository.id());
    if pushed.take(&source) {
        return Ok(Report { put: Put::WasThere, along: 0 });
    }
    let writer = super::writer(config, repository, origin, keys);
    let neighbours = ready_behind(path, source.file, config.wal.batch - 1);
    let along = stream::iter(neighbours)
        .map(|path| take_along(&writer, &pushed, path, source.system_identifier.clone()))
        .buffer_unordered(config.wal.workers.saturating_sub(1).max(1))
        .filter(|stored| std::future::ready(*stored))
        .count();
    let (put, along) = tokio::join!(writer.put_file(source.file, source.content.clone()), along);
    Ok(Report { put: put?, along })
}

async fn take_along(writer: &WalWriter, pushed: &Pushed, path: PathBuf, system: Option<String>) -> bool {
    let stored = async {
        let source = Source::open(&path)?;
        if source.system_identifier != system || pushed.holds(&source) {
            return Ok(false);
        }
        writer.put_file(source.file, source.content.clone()).await?;
        pushed.remember(&source)?;
        Ok::<bool, Error>(true)
    };
    stored.await.unwrap_or_else(|e| {
        tracing::info!("{} was not taken along: {e:?}", path.display());
        false
    })
}

/// The next segments that PostgreSQL will ask for: those marked ready in `archive_status` beside
/// the file, in order.
fn ready_behind(path: &Path, file: WalFile, most: usize) -> Vec<PathBuf> {
    let (WalFile::Segment(_), Some(dir)) = (file, path.parent()) else { return Vec::new() };
    let status = disk::read_dir(&dir.join("archive_status")).ok().flatten().unwrap_or_default();
    let names = status.iter().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".ready")?.parse::<WalFile>().ok()
    });
    let mut ready: Vec<WalFile> =
        names.filter(|name| matches!(name, WalFile::Segment(_)) && *name > file).collect();
    ready.sort();
    ready.into_iter().take(most).map(|name| dir.join(name.to_string())).collect()
}

/// A file to be stored, checked to be what its name says.
pub(super) struct Source {
    pub file: WalFile,
    pub content: Arc<dyn Content>,
    /// Whose it is, where that can be known.
    pub system_identifier: Option<String>,
}

impl Source {
    fn open(path: &Path) -> Result<Source> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file: WalFile = name.parse().map_err(|e: Error| {
            e.next("archive_command = 'lifeboat wal push %p': %p is the path of a file in pg_wal")
        })?;
        let opened = disk::open(path)?;
        let bytes = opened.metadata().map_err(|e| Error::file("look at", path, e))?.len();
        let content = OnDisk { file: opened, path: path.to_owned(), bytes: bytes.min(1 << 31) as u32 };
        let system = match file {
            WalFile::Segment(segment) | WalFile::Partial(segment) => {
                let header = content.range(0..content.bytes.min(HEADER_BYTES as u32))?;
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

    fn range(&self, range: Range<u32>) -> Result<Bytes> {
        let mut data = vec![0; range.len()];
        self.file
            .read_exact_at(&mut data, u64::from(range.start))
            .map_err(|e| Error::file("read", &self.path, e))?;
        Ok(data.into())
    }
}
