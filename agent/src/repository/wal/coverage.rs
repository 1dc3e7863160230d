//! Which WAL is stored without gaps: pure planning over a listing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::wal::WalName;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};

/// A range of WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LsnRange {
    /// Its first byte.
    pub begin: Lsn,
    /// The byte after its last.
    pub end: Lsn,
}

/// What is stored of one timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineWindows {
    /// The timeline.
    pub timeline: TimelineId,
    /// What can be replayed without a gap, ascending; never empty; ranges never touch each other.
    pub ranges: Vec<LsnRange>,
    /// The ranges between them that are not stored: one fewer.
    pub gaps: Vec<LsnRange>,
    /// Ranges that are stored twice with different content, ascending: only one can be right.
    pub conflicts: Vec<LsnRange>,
}

/// The windows of every timeline in the listing, oldest timeline first. `.partial` and `.backup` files,
/// histories, and segments that do not match the segment size are ignored.
pub fn windows<'a>(
    names: impl IntoIterator<Item = &'a WalName>,
    segment_bytes: SegmentBytes,
) -> Vec<TimelineWindows> {
    let mut timelines: BTreeMap<TimelineId, Vec<(LsnRange, &WalName)>> = BTreeMap::new();
    for name in names {
        let WalFile::Segment(segment) = name.file else { continue };
        let Some(begin) = segment.begin(segment_bytes) else { continue };
        if u64::from(name.end) <= segment_bytes.get() {
            let at = |offset: u32| Lsn(begin.0 + u64::from(offset));
            let range = LsnRange { begin: at(name.begin), end: at(name.end) };
            timelines.entry(segment.timeline).or_default().push((range, name));
        }
    }
    timelines.into_iter().map(|(timeline, parts)| of_timeline(timeline, parts)).collect()
}

fn of_timeline(timeline: TimelineId, mut parts: Vec<(LsnRange, &WalName)>) -> TimelineWindows {
    parts.sort_by_key(|(range, _)| (range.begin, range.end));
    let mut conflicts: Vec<LsnRange> = Vec::new();
    for pair in parts.windows(2) {
        if pair[0].0 == pair[1].0
            && pair[0].1.plain != pair[1].1.plain
            && conflicts.last() != Some(&pair[0].0)
        {
            conflicts.push(pair[0].0);
        }
    }
    let mut ranges: Vec<LsnRange> = Vec::new();
    for (part, _) in parts {
        match ranges.last_mut() {
            Some(last) if part.begin <= last.end => last.end = last.end.max(part.end),
            _ => ranges.push(part),
        }
    }
    let gaps = ranges.windows(2).map(|pair| LsnRange { begin: pair[0].end, end: pair[1].begin }).collect();
    TimelineWindows { timeline, ranges, gaps, conflicts }
}

/// The fewest objects that give a segment from its first byte on, in order, as far as they go. `names` are
/// those of one file.
pub fn assemble(names: &[WalName]) -> Vec<WalName> {
    let mut chosen: Vec<WalName> = Vec::new();
    let mut end = 0;
    loop {
        let further = names.iter().filter(|name| name.begin <= end && name.end > end);
        // of two that reach equally far, the one that begins earlier leaves less to cut
        let Some(next) = further.max_by_key(|name| (name.end, std::cmp::Reverse(name.begin))) else {
            return chosen;
        };
        end = next.end;
        chosen.push(*next);
    }
}

/// The segment size that a listing shows, where nothing better is known: the end of its longest segment. An
/// incomplete segment shows nothing, so without a complete one it is the usual size.
pub fn segment_bytes<'a>(names: impl IntoIterator<Item = &'a WalName>) -> SegmentBytes {
    let segments = names.into_iter().filter(|name| matches!(name.file, WalFile::Segment(_)));
    let longest = segments.map(|name| u64::from(name.end)).max();
    longest.and_then(|bytes| SegmentBytes::try_from(bytes).ok()).unwrap_or(SegmentBytes::USUAL)
}

/// Refuses objects of one file that have different content for the same bytes.
///
/// # Errors
/// `Integrity` naming both.
pub fn contradiction(names: &[WalName]) -> Result<()> {
    let mut sorted: Vec<&WalName> = names.iter().collect();
    sorted.sort_by_key(|name| (name.begin, name.end));
    for pair in sorted.windows(2) {
        let same = (pair[0].begin, pair[0].end) == (pair[1].begin, pair[1].end);
        if same && pair[0].plain != pair[1].plain {
            return Err(Error::new(
                Kind::Integrity,
                format!("bytes {} to {} of {} are stored twice with different content", pair[0].begin, pair[0].end, pair[0].file),
            )
            .because(format!("{} and {}", pair[0], pair[1]))
            .next("two servers stored WAL as one instance: move the wrong object away, and give the other server its own instance name"));
        }
    }
    Ok(())
}
