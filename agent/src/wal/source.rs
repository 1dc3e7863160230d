//! A WAL file to be stored: read completely, and checked against its name.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pushed::is_marked;
use crate::archive::wal_extent::{End, Extent, extent};
use crate::archive::wal_page::{HEADER_BYTES, SegmentHeader};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};
use crate::repository::wal::{Content, Put, WalWriter};

/// The largest history or backup file that is stored; real ones have a few lines.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the repository already had it.
    pub put: Put,
    /// For an incomplete segment: where the WAL in it ends.
    pub partial_end: Option<Lsn>,
}

/// A file to be stored, checked against its name.
pub(super) struct Source {
    pub file: WalFile,
    /// Which segment, and the segment size of its cluster; `None` for other files.
    pub segment: Option<(SegmentName, SegmentBytes)>,
    /// The cluster that it belongs to, where that can be known.
    pub system_identifier: Option<String>,
    content: Arc<dyn Content>,
    partial: Option<Partial>,
}

/// For an incomplete segment: how many bytes of it are WAL, and where they end.
struct Partial {
    upto: u32,
    end: Lsn,
}

impl Source {
    /// [`Source::open`], off the async threads: it reads all of a segment.
    pub async fn open_beside(path: PathBuf) -> Result<Source> {
        let opened = tokio::task::spawn_blocking(move || Source::open(&path)).await;
        opened.unwrap_or_else(|e| Err(Error::new(Kind::Internal, "a blocking task panicked").because(e)))
    }

    fn open(path: &Path) -> Result<Source> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file: WalFile = name.parse().map_err(|e: Error| {
            e.next("set archive_command = 'lifeboat wal push %p': %p is the path of a file in pg_wal")
        })?;
        let opened = disk::open(path).map_err(|e| {
            let next = match e.kind() {
                Kind::NotFound => {
                    "check the path: PostgreSQL runs archive_command = 'lifeboat wal push %p' in the data directory, \
                     and %p is relative to it. A segment that is no longer in pg_wal cannot be stored any more: \
                     lifeboat wal status shows what is missing"
                }
                _ => "run it as the server's user, who may read pg_wal",
            };
            e.effect("nothing was stored").next(next).safe("running again is safe")
        })?;
        let bytes = opened.metadata().map_err(|e| Error::file("look at", path, e))?.len();
        let mut content = OnDisk { file: opened, path: path.to_owned(), bytes: bytes.min(1 << 31) as u32 };
        let (mut partial, mut segment) = (None, None);
        let system_identifier = match file {
            WalFile::Segment(name) | WalFile::Partial(name) => {
                let header = content.header(name, bytes)?;
                if file == WalFile::Segment(name) {
                    segment = Some((name, header.segment_bytes));
                    partial = content.partial(name, &header)?;
                }
                Some(header.system_identifier.to_string())
            }
            WalFile::History(_) | WalFile::Backup(..) if bytes == 0 || bytes > TEXT_BYTES_MAX => {
                let what = format!(
                    "{} has {bytes} bytes: a file of this kind is neither empty nor so large",
                    path.display()
                );
                return Err(
                    Error::new(Kind::Integrity, what).effect("it was not stored; PostgreSQL keeps it")
                );
            }
            WalFile::History(_) | WalFile::Backup(..) => control_file(path),
        };
        Ok(Source { file, segment, system_identifier, content: Arc::new(content), partial })
    }

    /// Stores it.
    pub async fn put(self, writer: &WalWriter) -> Result<Outcome> {
        let Source { file, content, partial, .. } = self;
        let put = match &partial {
            Some(Partial { upto, .. }) => writer.put_beginning(file, content, *upto).await?,
            None => writer.put_file(file, content).await?,
        };
        Ok(Outcome { put, partial_end: partial.map(|partial| partial.end) })
    }
}

/// The system identifier in `global/pg_control` of the cluster whose `pg_wal` contains `path`: its first
/// eight bytes.
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

impl OnDisk {
    /// Checks that this is the segment of this name, of `bytes`.
    fn header(&self, name: SegmentName, bytes: u64) -> Result<SegmentHeader> {
        let mut first = Vec::new();
        self.range(0..self.bytes.min(HEADER_BYTES as u32), &mut first)?;
        let checked = SegmentHeader::parse(&first).and_then(|header| {
            header.check_name(name)?;
            if bytes != header.segment_bytes.get() {
                let size = header.segment_bytes.get();
                let what = format!("it has {bytes} bytes, but the segments of its cluster have {size}");
                return Err(Error::new(Kind::Integrity, what));
            }
            Ok(header)
        });
        checked.map_err(|e| {
            e.context(format!("{} does not hold the WAL segment of that name", self.path.display()))
                .effect("it was not stored; PostgreSQL keeps it")
                .next("check whether another program writes into pg_wal; if the file is damaged, take a base backup now")
        })
    }

    /// Whether it is incomplete. Where no later WAL follows, it is stored only up to the end of its WAL.
    ///
    /// # Errors
    /// `Integrity` where the server has finished it although it ends too early.
    fn partial(&mut self, name: SegmentName, header: &SegmentHeader) -> Result<Option<Partial>> {
        let mut file = &self.file;
        file.rewind().map_err(|e| Error::file("read", &self.path, e))?;
        let Extent { upto, end } =
            extent(file).map_err(|e| e.context(format!("{} was not stored", self.path.display())))?;
        let partial = Partial { upto, end: Lsn(header.begin + u64::from(upto)) };
        let next = name.next(header.segment_bytes);
        let goes_on = || next.is_some_and(|next| super::is_begun_beside(&self.path, next));
        match end {
            End::Whole => Ok(None),
            End::Crossing => Ok((!is_marked(&self.path) && !goes_on()).then_some(partial)),
            End::Broken if !goes_on() && !is_marked(&self.path) => Ok(Some(partial)),
            End::Nothing if !goes_on() => {
                self.bytes = upto;
                Ok(Some(partial))
            }
            End::Nothing | End::Broken => {
                let (path, at) = (self.path.display(), partial.end);
                Err(Error::new(Kind::Integrity, format!("{path} is damaged: its WAL records end at {at}"))
                    .because("the server has finished this segment, so its records should reach its end")
                    .effect(format!("recovery stops at {at}; the file was not stored; PostgreSQL keeps it and tries again"))
                    .next(format!("take a base backup now: lifeboat backup --kind base. Then rename archive_status/{name}.ready in pg_wal to {name}.done: PostgreSQL then archives the next segment")))
            }
        }
    }
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
            let what = format!("{} was truncated while it was read", self.path.display());
            return Err(Error::new(Kind::Integrity, what).effect("it was not stored; PostgreSQL keeps it"));
        }
        Ok(())
    }
}
