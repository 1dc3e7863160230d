//! A WAL file to be stored. Its header is checked against its name when it is opened. All of it is checked
//! when it is read to be stored, so that a segment is read once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pushed::is_marked;
use crate::archive::wal_extent::{End, Extent};
use crate::archive::wal_page::{HEADER_BYTES, SegmentHeader};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};
use crate::repository::wal::{Beginning, Content, Put, WalWriter};

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
    /// Which segment; `None` for other files.
    pub segment: Option<Segment>,
    /// The cluster that it belongs to, where that can be known.
    pub system_identifier: Option<String>,
    content: Arc<OnDisk>,
}

/// A segment, by its name and its header.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    pub name: SegmentName,
    /// The segment size of its cluster.
    pub bytes: SegmentBytes,
    /// Its first byte.
    begin: Lsn,
}

impl Segment {
    fn lsn(&self, byte: u32) -> Lsn {
        Lsn(self.begin.0 + u64::from(byte))
    }
}

impl Source {
    /// Opens the file and checks its header, off the async threads.
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
        let content = OnDisk { file: opened, path: path.to_owned(), bytes: bytes.min(1 << 31) as u32 };
        let mut segment = None;
        let system_identifier = match file {
            WalFile::Segment(name) | WalFile::Partial(name) => {
                let header = content.header(name, bytes)?;
                if file == WalFile::Segment(name) {
                    segment = Some(Segment { name, bytes: header.segment_bytes, begin: Lsn(header.begin) });
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
        Ok(Source { file, segment, system_identifier, content: Arc::new(content) })
    }

    /// Stores it: all of it, or of a segment that is not whole as far as it holds WAL.
    ///
    /// # Errors
    /// `Integrity` where the server has finished a segment and its records end too early; those of
    /// [`WalWriter`].
    pub async fn put(self, writer: &WalWriter) -> Result<Outcome> {
        let Source { file, content, segment, .. } = self;
        let Some(segment) = segment else {
            return Ok(Outcome { put: writer.put_file(file, content).await?, partial_end: None });
        };
        let looked = content.clone();
        let look = move |extent: Result<Extent>| looked.beginning(segment, extent);
        let (put, beginning) = writer.put_segment(file, content, look).await?;
        Ok(Outcome { put, partial_end: beginning.map(|beginning| segment.lsn(beginning.upto)) })
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

    /// How much of a segment is to be stored, where it is incomplete. Where no later WAL follows, it is
    /// stored only up to the end of its WAL.
    ///
    /// # Errors
    /// `Integrity` where the server has finished it although it ends too early.
    fn beginning(&self, segment: Segment, extent: Result<Extent>) -> Result<Option<Beginning>> {
        let Extent { upto, end } =
            extent.map_err(|e| e.context(format!("{} was not stored", self.path.display())))?;
        let all = Some(Beginning { upto, of: self.bytes });
        let next = segment.name.next(segment.bytes);
        let is_next_begun = || next.is_some_and(|next| super::is_begun_beside(&self.path, next));
        match end {
            End::Whole => Ok(None),
            End::Crossing => Ok(all.filter(|_| !is_marked(&self.path) && !is_next_begun())),
            End::Broken if !is_next_begun() && !is_marked(&self.path) => Ok(all),
            // where nothing comes after its WAL, that much is all that the file says
            End::Nothing if !is_next_begun() => Ok(Some(Beginning { upto, of: upto })),
            End::Nothing | End::Broken => {
                let (path, at, name) = (self.path.display(), segment.lsn(upto), segment.name);
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
