//! A WAL file as PostgreSQL wants it, put together out of its objects.
//!
//! PostgreSQL takes "not there" for the end of the archive: it ends recovery, or promotes. So that is said only when
//! the store said so, and never where later WAL is stored.
//!
//! The end of the stored WAL is a segment that is not whole. PostgreSQL refuses an archived file that is shorter than a
//! segment (`RestoreArchivedFile()`), so it gets zeros after the last stored byte, where it sees the end. Such a file
//! claims to be more than it is: whoever archives it again stores the WAL in it as a range ([`wal_extent`]). What is
//! stored as whole and is not (older versions of this program took such a file for a segment) is treated as what it holds.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Duration;

use super::WalReader;
use super::coverage::{assemble, contradiction, segment_bytes};
use crate::archive::wal::WalName;
use crate::archive::wal_extent;
use crate::archive::wal_page::{HEADER_BYTES, SegmentHeader};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};

/// Segments may be stored by several at once and so appear out of order: how often a missing one
/// is looked for again when a later one is there, and how long apart.
const GAP_TRIES: u32 = 10;
const GAP_WAIT: Duration = Duration::from_millis(500);

/// How much of a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The whole file.
    Whole,
    /// The end of its timeline: so many bytes of WAL, and zeros after them.
    Tail(u64),
}

/// Of a file that was put together.
struct Written {
    bytes: u64,
    /// Of segments; the usual one for other files.
    segment_bytes: SegmentBytes,
}

impl Written {
    /// How many bytes of a segment are WAL; `None` where it is whole.
    fn partial_bytes(&self, out: &mut File) -> Result<Option<u64>> {
        if self.bytes < self.segment_bytes.get() {
            return Ok(Some(self.bytes));
        }
        let found = tokio::task::block_in_place(|| wal_extent::partial_bytes(out));
        Ok(found?.map(u64::from))
    }
}

impl WalReader {
    /// The objects of a file; none where the store says that there is no such file, and no later one. `is_brought`
    /// tells that the server has this segment from its base backup: it needs no archive then.
    ///
    /// # Errors
    /// `Integrity` for a gap, and where objects contradict each other; those of the store.
    pub async fn objects(&self, file: WalFile, is_brought: impl Fn() -> bool) -> Result<Vec<WalName>> {
        let names = self.list(file).await?;
        match file {
            WalFile::Segment(segment) if names.is_empty() && !is_brought() => self.after_a_gap(segment).await,
            _ => Ok(names),
        }
    }

    /// The size of a segment whose objects seem to be all there, by their names; [`WalReader::write`] knows better.
    pub fn looks_whole(names: &[WalName]) -> Option<SegmentBytes> {
        let size = segment_bytes(names);
        assemble(names).last().is_some_and(|name| u64::from(name.end) == size.get()).then_some(size)
    }

    /// Writes a file from its objects, all of it checked. A tail is filled up with zeros.
    ///
    /// # Errors
    /// `Integrity` where a part is missing and later WAL is stored, or where it is damaged.
    pub async fn write(&self, file: WalFile, names: &[WalName], out: &mut File) -> Result<Extent> {
        let written = self.put_together(file, names, out).await?;
        let WalFile::Segment(segment) = file else { return Ok(Extent::Whole) };
        let Some(bytes) = written.partial_bytes(out)? else { return Ok(Extent::Whole) };
        let size = written.segment_bytes.get();
        let next = segment.next(written.segment_bytes).map(WalFile::Segment);
        if let Some(next) = next
            && !self.list(next).await?.is_empty()
        {
            let what =
                format!("{segment} is incomplete ({bytes} of {size} bytes) although later WAL is stored");
            return Err(Error::new(Kind::Integrity, what)
                .next("lifeboat wal status shows every gap; restore to a time before it, or from a later base backup"));
        }
        out.set_len(size).map_err(|e| Error::new(Kind::Io, format!("cannot write {segment}")).because(e))?;
        Ok(Extent::Tail(bytes))
    }

    async fn list(&self, file: WalFile) -> Result<Vec<WalName>> {
        let list = self.repository().wal_of_file(file).await?;
        let names: Vec<WalName> = list.objects.into_iter().map(|object| object.name).collect();
        contradiction(&names)?;
        Ok(names)
    }

    /// A missing segment whose successor is there: it may be on its way, else it is a gap.
    async fn after_a_gap(&self, segment: SegmentName) -> Result<Vec<WalName>> {
        // Without a segment the size is not known: any size's successor counts.
        let sizes = (20..=30).filter_map(|shift| SegmentBytes::try_from(1 << shift).ok());
        let mut successors: Vec<SegmentName> = sizes.filter_map(|size| segment.next(size)).collect();
        successors.sort();
        successors.dedup();
        let mut later = None;
        for successor in successors {
            if !self.list(WalFile::Segment(successor)).await?.is_empty() {
                later = Some(successor);
            }
        }
        let Some(later) = later else { return Ok(Vec::new()) };
        for _ in 0..GAP_TRIES {
            let names = self.list(WalFile::Segment(segment)).await?;
            if !names.is_empty() {
                return Ok(names);
            }
            clock::sleep(GAP_WAIT).await;
        }
        Err(Error::new(Kind::Integrity, format!("{segment} is not stored, although the later {later} is")).next(
            "lifeboat wal status shows every gap; restore to a time before it, or from a later base backup",
        ))
    }

    /// Writes a file from its objects, as far as they go. A damaged object is passed over where
    /// others hold the same bytes.
    async fn put_together(&self, file: WalFile, names: &[WalName], out: &mut File) -> Result<Written> {
        let mut usable = names.to_vec();
        let all = assemble(&usable).last().map_or(0, |name| name.end);
        if all == 0 {
            let begin = names.first().map_or(0, |name| name.begin);
            return Err(Error::new(
                Kind::Integrity,
                format!("of {file} only bytes from {begin} on are stored"),
            )
            .next("lifeboat wal status shows every gap; restore to a time before it"));
        }
        loop {
            empty(out)?;
            let (name, error) = match self.try_write(file, &assemble(&usable), out).await {
                Ok(written) => return Ok(written),
                Err(failed) => failed,
            };
            usable.retain(|usable| *usable != name);
            let reach = assemble(&usable).last().map_or(0, |name| name.end);
            // gone since it was listed: that is damage, and not the end of the WAL
            let damage = matches!(error.kind(), Kind::Integrity | Kind::Signature | Kind::NotFound);
            if !damage || reach < all {
                return Err(if error.kind() == Kind::NotFound {
                    error.with_kind(Kind::Integrity)
                } else {
                    error
                });
            }
            tracing::warn!("{name} is damaged, and its bytes are taken from other objects: {error:?}");
        }
    }

    async fn try_write(
        &self,
        file: WalFile,
        names: &[WalName],
        out: &mut File,
    ) -> Result<Written, (WalName, Error)> {
        let mut bytes = 0;
        let mut segment_bytes = SegmentBytes::USUAL;
        for name in names {
            let at = bytes;
            let step = async {
                let content = self.get(*name).await?;
                if at == 0
                    && let WalFile::Segment(segment) = file
                {
                    let header = SegmentHeader::parse(&content)?;
                    header.check_name(segment)?;
                    segment_bytes = header.segment_bytes;
                }
                let new = &content[(at - u64::from(name.begin)) as usize..];
                tokio::task::block_in_place(|| out.write_all(new))
                    .map_err(|e| Error::new(Kind::Io, format!("cannot write {file}")).because(e))?;
                bytes += new.len() as u64;
                Ok(())
            };
            step.await.map_err(|e| (*name, e))?;
        }
        Ok(Written { bytes, segment_bytes })
    }
}

/// Whether this is the segment of that name, by its header.
pub fn is_segment(segment: SegmentName, mut file: impl Read) -> bool {
    let mut header = [0; HEADER_BYTES];
    let read = file.read_exact(&mut header);
    read.is_ok() && SegmentHeader::parse(&header).and_then(|header| header.check_name(segment)).is_ok()
}

fn empty(out: &mut File) -> Result<()> {
    out.set_len(0)
        .and_then(|()| out.rewind())
        .map_err(|e| Error::new(Kind::Io, "cannot empty a file that is being fetched").because(e))
}
