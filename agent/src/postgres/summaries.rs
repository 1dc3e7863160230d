//! Reads WAL summaries (PostgreSQL 17 and newer): which parts of which relations were written between two WAL
//! positions. Parts that no summary names are unchanged. The rules are those of `basebackup_incremental.c`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::TimelineId;
use crate::postgres::page::PAGE_BYTES;
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Session, column};

/// How many written parts are kept in memory (about 30 MB); with more, everything counts as written.
const PARTS_MAX: usize = 500_000;
/// How many chunks of segments are kept (about 15 MB); with more, their whole segments count as written.
const CHUNKS_MAX: usize = 1_000_000;
/// Pages of one chunk.
const CHUNK_PAGES: u32 = 8;
/// The same in bytes.
pub const CHUNK_BYTES: u64 = CHUNK_PAGES as u64 * PAGE_BYTES as u64;
/// How long the summarizer may take to reach the latest checkpoint.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
/// How often its position is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A fork of a relation, by the server's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fork {
    /// OID of its tablespace.
    pub tablespace: u32,
    /// OID of its database; 0 for shared relations.
    pub database: u32,
    /// Its relfilenode.
    pub relation: u32,
    /// 0: the main fork; 3: the init fork of an unlogged relation.
    pub fork: u8,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// Databases (tablespace, database) in which every file may have been written.
    databases: HashSet<(u32, u32)>,
    /// Forks that were created, dropped or truncated: written from this segment on.
    from_segment: HashMap<Fork, u32>,
    /// Single segments and their written chunks; `None` means any chunk.
    segments: HashMap<(Fork, u32), Option<BTreeSet<u32>>>,
    chunks: usize,
}

/// Which part of a segment may have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched<'a> {
    /// Nothing.
    Nothing,
    /// These chunks of [`CHUNK_BYTES`], counted from the beginning of the segment.
    Chunks(&'a BTreeSet<u32>),
    /// All of it.
    Anything,
}

impl Written {
    /// Which part of this segment may have been written.
    pub fn touched(&self, fork: Fork, segment: u32) -> Touched<'_> {
        if self.databases.contains(&(fork.tablespace, fork.database))
            || self.from_segment.get(&fork).is_some_and(|first| *first <= segment)
        {
            return Touched::Anything;
        }
        match self.segments.get(&(fork, segment)) {
            Some(Some(chunks)) => Touched::Chunks(chunks),
            Some(None) => Touched::Anything,
            None => Touched::Nothing,
        }
    }

    /// `limit`: the fork was truncated at the beginning of this segment or within it.
    fn add(&mut self, fork: Fork, (segment, chunk): (u32, u32), limit: bool) {
        if fork.relation == 0 {
            self.databases.insert((fork.tablespace, fork.database));
        } else if limit {
            let first = self.from_segment.entry(fork).or_insert(segment);
            *first = segment.min(*first);
        } else {
            let all_are_told = self.chunks > CHUNKS_MAX;
            let chunks =
                self.segments.entry((fork, segment)).or_insert_with(|| (!all_are_told).then(BTreeSet::new));
            self.chunks += usize::from(chunks.as_mut().is_some_and(|chunks| chunks.insert(chunk)));
            if self.chunks > CHUNKS_MAX && !all_are_told {
                self.segments.values_mut().for_each(|chunks| *chunks = None);
            }
        }
    }

    fn len(&self) -> usize {
        self.databases.len() + self.from_segment.len() + self.segments.len()
    }
}

/// What was written from `begin` to `end` on this timeline, if the summaries have no gap; otherwise why
/// that is unknown. `segment_blocks`: pages in a segment of a relation.
///
/// # Errors
/// `Postgres` if the server does not answer.
pub async fn written(
    session: &mut Session,
    timeline: TimelineId,
    (begin, end): (Lsn, Lsn),
    segment_blocks: u32,
) -> Result<std::result::Result<Written, String>> {
    let on =
        session.row("ask for WAL summaries", "SELECT current_setting('summarize_wal', true) = 'on'").await?;
    if column::<Option<bool>>(&on, 0)? != Some(true) {
        return Ok(Err("summarize_wal is off, or the server is older than 17".to_owned()));
    }
    let deadline = clock::instant() + CATCH_UP_MAX;
    let ranges = loop {
        let ranges = available(session, timeline, begin, end).await?;
        match gap(&ranges, begin, end) {
            None => break ranges,
            // The last summaries may still be written; a missing one before others will never be.
            Some(at) if ranges.iter().all(|(start, _)| *start < at) && clock::instant() < deadline => {
                clock::sleep(LOOK_EVERY).await;
            }
            Some(at) => return Ok(Err(format!("WAL summaries have a gap at {at} (from {begin} to {end})"))),
        }
    };
    let mut written = Written::default();
    session.allow(TABLE_WAIT).await?;
    for range in ranges {
        match read(session, timeline, range, segment_blocks, &mut written).await {
            Ok(()) if written.len() <= PARTS_MAX => {}
            Ok(()) => return Ok(Err(format!("more than {PARTS_MAX} segments were written"))),
            // just removed, damaged, or not readable for us: without it nothing can be skipped
            Err(e) => {
                let why = [vec![e.what().to_owned()], e.causes()].concat().join(": ");
                return Ok(Err(format!("a WAL summary cannot be read: {why}")));
            }
        }
    }
    Ok(Ok(written))
}

/// The summaries that overlap a range, sorted by their beginning.
async fn available(
    session: &mut Session,
    timeline: TimelineId,
    begin: Lsn,
    end: Lsn,
) -> Result<Vec<(Lsn, Lsn)>> {
    let sql = format!(
        "SELECT start_lsn::text, end_lsn::text FROM pg_available_wal_summaries() \
         WHERE tli = {} AND end_lsn > '{begin}' AND start_lsn < '{end}' ORDER BY start_lsn",
        timeline.0
    );
    let rows = session.rows("list WAL summaries", sql).await?;
    let lsn = |text: String| text.parse::<Lsn>();
    rows.iter().map(|row| Ok((lsn(column(row, 0)?)?, lsn(column(row, 1)?)?))).collect()
}

/// The first gap in sorted ranges.
fn gap(ranges: &[(Lsn, Lsn)], begin: Lsn, end: Lsn) -> Option<Lsn> {
    let mut at = begin;
    for (start, stop) in ranges {
        if *start > at {
            break;
        }
        at = at.max(*stop);
    }
    (at < end).then_some(at)
}

async fn read(
    session: &mut Session,
    timeline: TimelineId,
    (start, stop): (Lsn, Lsn),
    segment_blocks: u32,
    written: &mut Written,
) -> Result<()> {
    // Forks 1 (free space map) and 2 (visibility map) are always read: the first is not in WAL, and in the
    // second replay clears bits that no record names.
    let sql = format!(
        "SELECT DISTINCT reltablespace::int8, reldatabase::int8, relfilenode::int8, relforknumber::int8, \
         relblocknumber / {segment_blocks}, relblocknumber % {segment_blocks} / {CHUNK_PAGES}, is_limit_block \
         FROM pg_wal_summary_contents({}, '{start}', '{stop}') WHERE relforknumber IN (0, 3)",
        timeline.0
    );
    let what = format!("read the summary from {start} to {stop}");
    let each = |row| {
        if written.len() > PARTS_MAX {
            return Ok(()); // the caller sees that it is too much
        }
        let number = |index| {
            let value: i64 = column(&row, index)?;
            u32::try_from(value).map_err(|_| Error::new(Kind::Postgres, format!("a summary names {value}")))
        };
        let fork = u8::try_from(number(3)?).unwrap_or(u8::MAX);
        let fork = Fork { tablespace: number(0)?, database: number(1)?, relation: number(2)?, fork };
        written.add(fork, (number(4)?, number(5)?), column(&row, 6)?);
        Ok(())
    };
    session.each(&what, sql, each).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_without_a_gap_cover() {
        let lsn = |(a, b): (u64, u64)| (Lsn(a), Lsn(b));
        let first_gap = |ranges: &[(u64, u64)]| {
            let ranges: Vec<_> = ranges.iter().copied().map(lsn).collect();
            gap(&ranges, Lsn(100), Lsn(200)).map(|at| at.0)
        };
        assert_eq!(first_gap(&[(50, 150), (150, 200)]), None);
        assert_eq!(first_gap(&[(100, 130), (110, 170), (160, 300)]), None);
        assert_eq!(first_gap(&[(50, 150), (150, 199)]), Some(199));
        assert_eq!(first_gap(&[(50, 150), (151, 300)]), Some(150));
        assert_eq!(first_gap(&[(101, 300)]), Some(100));
        assert_eq!(first_gap(&[]), Some(100));
        assert_eq!(gap(&[], Lsn(7), Lsn(7)), None, "nothing was written in between");
    }

    #[test]
    fn what_was_written_is_told_by_chunk_limit_and_database() {
        let fork = |relation| Fork { tablespace: 1663, database: 5, relation, fork: 0 };
        let mut written = Written::default();
        written.add(fork(10), (3, 7), false);
        written.add(fork(10), (3, 9), false);
        written.add(fork(11), (4, 0), true);
        written.add(fork(11), (2, 5), true);
        written.add(Fork { database: 6, ..fork(0) }, (0, 0), true);
        let touched = |relation, segment| written.touched(fork(relation), segment);
        assert_eq!(touched(10, 3), Touched::Chunks(&BTreeSet::from([7, 9])));
        assert_eq!((touched(10, 2), touched(10, 4)), (Touched::Nothing, Touched::Nothing));
        assert_eq!((touched(11, 2), touched(11, 9)), (Touched::Anything, Touched::Anything));
        assert_eq!((touched(11, 1), touched(12, 0)), (Touched::Nothing, Touched::Nothing));
        assert_eq!(written.touched(Fork { fork: 3, ..fork(10) }, 3), Touched::Nothing);
        assert_eq!(written.touched(Fork { database: 6, ..fork(12) }, 0), Touched::Anything);
        assert_eq!(written.touched(Fork { tablespace: 1664, database: 6, ..fork(12) }, 0), Touched::Nothing);
    }

    #[test]
    fn too_many_chunks_are_told_as_segments() {
        let fork = Fork { tablespace: 1663, database: 5, relation: 1, fork: 0 };
        let mut written = Written::default();
        let per_segment = 16_384;
        for n in 0..CHUNKS_MAX as u32 {
            written.add(fork, (n / per_segment, n % per_segment), false);
        }
        assert!(matches!(written.touched(fork, 0), Touched::Chunks(_)));
        written.add(fork, (1000, 0), false);
        written.add(fork, (1001, 0), false);
        assert!([0, 1000, 1001].iter().all(|segment| written.touched(fork, *segment) == Touched::Anything));
        assert_eq!(written.touched(fork, 1002), Touched::Nothing);
    }
}
