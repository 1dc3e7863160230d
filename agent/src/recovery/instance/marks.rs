//! Reads stored WAL before anything is restored: the positions of commits and restore points.

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::wal::WalName;
use crate::archive::wal_records::{Copied, Mark, Said, WalRecords};
use crate::error::{Error, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, SegmentName, TimelineId, WalFile};
use crate::repository::wal::WalReader;
use crate::repository::wal::coverage::assemble;

/// How many objects are fetched at once, each of at most 16 MiB.
const OBJECTS_AT_ONCE: usize = 2;
/// Where the last commits are searched for: in this many segments at the end, then in twice as many, up to
/// this number. A segment without a commit is rare.
const TAIL_SEGMENTS_MAX: u64 = 64;

/// The WAL that recovery would replay: each timeline and its end, oldest first.
pub struct Way<'a> {
    /// The fetcher.
    pub reader: &'a WalReader,
    /// Timelines, each with the position at which the next one begins.
    pub path: &'a [(TimelineId, Lsn)],
    /// Where it begins; everything before is in the base backup.
    pub begin: Lsn,
    /// The byte after the last.
    pub end: Lsn,
    /// Size of a segment.
    pub segment_bytes: SegmentBytes,
}

/// The content of its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The last transaction end.
    pub last: Option<Mark>,
    /// The latest time of the transaction ends.
    pub latest: Option<Mark>,
    /// Where the last record begins.
    pub last_record: Option<Lsn>,
    /// Whether this is all of it: nothing else exists.
    pub is_all: bool,
}

impl Way<'_> {
    /// Reads its end, as much as is needed to find a transaction; all of it if there is none.
    ///
    /// # Errors
    /// Those of the store, and of WAL that cannot be read.
    pub async fn tail(&self) -> Result<Tail> {
        let size = self.segment_bytes.get();
        let mut segments = 1;
        loop {
            let from = Lsn((self.end.0.saturating_sub(1) / size + 1).saturating_sub(segments) * size);
            let mut tail = Tail { is_all: from <= self.begin, ..Tail::default() };
            tail.last_record = self
                .each(from, |said| {
                    if let Said::Mark(mark) = said
                        && mark.restore_point.is_none()
                    {
                        if tail.latest.as_ref().is_none_or(|latest| latest.time <= mark.time) {
                            tail.latest = Some(mark.clone());
                        }
                        tail.last = Some(mark);
                    }
                })
                .await?;
            if tail.last.is_some() || tail.is_all || segments >= TAIL_SEGMENTS_MAX {
                return Ok(tail);
            }
            segments *= 2;
        }
    }

    /// Every restore point, in order. Reads all of it.
    ///
    /// # Errors
    /// As [`Way::tail`].
    pub async fn restore_points(&self) -> Result<Vec<Mark>> {
        let mut found = Vec::new();
        self.each(self.begin, |said| {
            if let Said::Mark(mark) = said
                && mark.restore_point.is_some()
            {
                found.push(mark);
            }
        })
        .await?;
        Ok(found)
    }

    /// Every database that was created by copying files, in order. Reads all of it.
    ///
    /// # Errors
    /// As [`Way::tail`].
    pub async fn copies(&self) -> Result<Vec<Copied>> {
        let mut found = Vec::new();
        self.each(self.begin, |said| {
            if let Said::Copied(copied) = said {
                found.push(copied);
            }
        })
        .await?;
        Ok(found)
    }

    /// Reads the records from the segment of `from` on; returns where the last one begins.
    async fn each(&self, from: Lsn, mut on: impl FnMut(Said)) -> Result<Option<Lsn>> {
        let size = self.segment_bytes.get();
        let first = from.max(self.begin).0 / size;
        let objects = stream::iter(first..self.end.0.div_ceil(size))
            .then(|number| self.objects(Lsn(number * size)))
            .map_ok(|(begin, names)| stream::iter(names).map(move |name| Ok::<_, Error>((begin, name))))
            .try_flatten()
            .map_ok(|(begin, name)| async move { Ok((begin, name, self.reader.get(name).await?)) })
            .try_buffered(OBJECTS_AT_ONCE);
        let mut objects = std::pin::pin!(objects);
        let mut records: Option<WalRecords> = None;
        let mut last = None;
        let mut in_range = |said: Said| {
            let lsn = match &said {
                Said::Mark(mark) => mark.lsn,
                Said::Copied(copied) => copied.lsn,
            };
            if lsn >= self.begin {
                on(said)
            }
        };
        while let Some((begin, name, content)) = objects.try_next().await? {
            let at = Lsn(begin.0 + u64::from(name.begin));
            if at >= self.end {
                continue; // it was stored while we looked
            }
            let next = records.as_ref().map_or(begin, WalRecords::at);
            let content = &content[..content.len().min(self.end.0.saturating_sub(at.0) as usize)];
            // pieces may overlap; after a gap it starts again
            let reader = match records.take() {
                Some(reader) if (at.0..=at.0 + content.len() as u64).contains(&next.0) => reader,
                _ if name.begin == 0 => WalRecords::new(begin, self.segment_bytes),
                _ => continue,
            };
            let reader = records.insert(reader);
            let known = (reader.at().0 - at.0) as usize;
            reader.feed(&content[known..], &mut in_range)?;
            last = reader.last().or(last);
        }
        if let Some(mut reader) = records {
            reader.finish(&mut in_range)?;
            last = reader.last().or(last);
        }
        Ok(last)
    }

    /// The stored part of the segment that begins here, from its first byte on.
    async fn objects(&self, begin: Lsn) -> Result<(Lsn, Vec<WalName>)> {
        let end = Lsn(begin.0 + self.segment_bytes.get());
        let newest = self.path.iter().position(|(_, until)| *until >= end).unwrap_or(self.path.len() - 1);
        // if the newer timeline's file is incomplete, PostgreSQL uses the older one's
        for (timeline, until) in self.path[..=newest].iter().rev().filter(|(_, until)| *until > begin) {
            let file = WalFile::Segment(SegmentName::holding(*timeline, begin, self.segment_bytes));
            let names = assemble(&self.reader.names(file).await?);
            if !names.is_empty() {
                tracing::info!("reading WAL at {begin}, timeline {timeline} up to {until}");
                return Ok((begin, names));
            }
        }
        Ok((begin, Vec::new()))
    }
}
