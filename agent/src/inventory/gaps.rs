//! WAL that is missing although later WAL is stored: within a timeline, and where one took over from another.

use crate::archive::base::BaseFacts;
use crate::archive::manifest::SnapshotKind;
use crate::inventory::Snapshot;
use crate::inventory::pick::oldest_first;
use crate::inventory::reach::{StoredWal, obstacle, reach};
use crate::inventory::target::Target;
use crate::names::Lsn;
use crate::names::wal::TimelineId;
use crate::repository::wal::coverage::LsnRange;

/// Missing WAL: recovery stops where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gap {
    /// The timeline of the WAL after it.
    timeline: TimelineId,
    /// For a gap at a timeline switch: the timeline that was left, and where.
    from: Option<(TimelineId, Lsn)>,
    /// What is missing.
    range: LsnRange,
}

impl Gap {
    /// The sentence for people.
    fn text(&self) -> String {
        let LsnRange { begin, end } = self.range;
        let place = match self.from {
            Some((from, at)) => format!(" (timeline {} left {from} at {at})", self.timeline),
            None => format!(" on timeline {}", self.timeline),
        };
        format!("WAL from {begin} to {end}{place} is missing: recovery stops at {begin}")
    }

    /// Whether a base backup begins after it: then the latest state can be restored in spite of it.
    fn is_past<'a>(&self, mut bases: impl Iterator<Item = &'a BaseFacts>) -> bool {
        bases.any(|base| base.timeline >= self.timeline.0 && base.start_lsn >= self.range.end)
    }
}

/// What is missing, in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// What the latest state cannot be restored with: a person must act.
    pub problems: Vec<String>,
    /// What only older states are affected by.
    pub warnings: Vec<String>,
}

/// Everything that is missing of the WAL, judged by the base backups among these: what `wal status` and
/// `verify` say.
pub fn missing<'a>(wal: &StoredWal, snapshots: impl Iterator<Item = &'a Snapshot> + Clone) -> Missing {
    let bases = snapshots.filter(|one| one.manifest.kind() == SnapshotKind::Base);
    let gaps = gaps(wal);
    let mut missing = Missing::default();
    let newest = oldest_first(bases.clone()).pop();
    missing.problems.extend(newest.and_then(|newest| after(newest, wal, &gaps)));
    for gap in gaps {
        let text = gap.text();
        match gap.is_past(bases.clone().filter_map(|one| one.manifest.base())) {
            true => missing.warnings.push(format!("{text}; a later base backup begins after it")),
            false => {
                missing.problems.push(format!("{text}; if no base backup was taken after it, take one now"))
            }
        }
    }
    missing
}

/// What is missing between the newest base backup and the first WAL after it, where no gap between stored WAL
/// says so.
fn after(newest: &Snapshot, wal: &StoredWal, gaps: &[Gap]) -> Option<String> {
    let base = &newest.manifest;
    let facts = base.base()?;
    let reach = reach(facts, base.point, wal, None)?;
    let known = gaps.iter().any(|gap| gap.range.begin <= reach.end && reach.end < gap.range.end);
    let why = obstacle(facts, base.point, &reach, &Target::Latest)?;
    (reach.gap_until.is_some() && !known).then(|| format!("{why}; take a base backup now"))
}

/// Every gap, by timeline and place.
fn gaps(wal: &StoredWal) -> Vec<Gap> {
    let mut all = Vec::new();
    for windows in &wal.windows {
        let timeline = windows.timeline;
        all.extend(at_switch(wal, timeline));
        all.extend(windows.gaps.iter().map(|range| Gap { timeline, from: None, range: *range }));
    }
    all
}

/// What is missing between the WAL of the timeline that this one left and its own. Its own begins with the
/// segment in which it left the other, and holds what came before in that.
fn at_switch(wal: &StoredWal, timeline: TimelineId) -> Option<Gap> {
    let (_, ancestors) = wal.histories.iter().find(|(id, _)| *id == timeline)?;
    let ranges = |id| wal.windows.iter().filter(move |w| w.timeline == id).flat_map(|w| &w.ranges);
    let end = ranges(timeline).next()?.begin;
    // The last of the older timelines of which anything is stored that counts.
    let (from, left) = ancestors.iter().rev().find_map(|ancestor| {
        let counts = ranges(ancestor.timeline).filter(|range| range.begin < ancestor.until);
        let end = counts.map(|range| range.end.min(ancestor.until)).max()?;
        Some(((ancestor.timeline, ancestor.until), end))
    })?;
    (left < end).then_some(Gap { timeline, from: Some(from), range: LsnRange { begin: left, end } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::wal_history::Ancestor;
    use crate::inventory::made_up::SEGMENT;
    use crate::repository::wal::coverage::TimelineWindows;

    fn lsn(segments: u64) -> Lsn {
        Lsn(segments * SEGMENT)
    }

    fn wal(one: &[(u64, u64)], two: &[(u64, u64)]) -> StoredWal {
        let windows = |timeline: u32, ranges: &[(u64, u64)]| {
            let range = |(begin, end): &(u64, u64)| LsnRange { begin: lsn(*begin), end: lsn(*end) };
            let ranges: Vec<LsnRange> = ranges.iter().map(range).collect();
            let pairs = ranges.windows(2).map(|pair| LsnRange { begin: pair[0].end, end: pair[1].begin });
            let gaps = pairs.collect();
            TimelineWindows { timeline: TimelineId(timeline), ranges, gaps, conflicts: Vec::new() }
        };
        let until = Lsn(6 * SEGMENT + 1_000);
        StoredWal {
            windows: vec![windows(1, one), windows(2, two)],
            histories: vec![(TimelineId(2), vec![Ancestor { timeline: TimelineId(1), until }])],
            ..StoredWal::default()
        }
    }

    #[test]
    fn gaps_lie_within_timelines_and_between_them() {
        let found = |one: &[(u64, u64)], two: &[(u64, u64)]| -> Vec<(u64, u64)> {
            let all = gaps(&wal(one, two));
            all.iter().map(|gap| (gap.range.begin.0 / SEGMENT, gap.range.end.0 / SEGMENT)).collect()
        };
        assert_eq!(found(&[(1, 6)], &[(6, 9)]), []);
        assert_eq!(found(&[(1, 8)], &[(6, 9)]), [], "it was left before its end");
        assert_eq!(found(&[(1, 4)], &[(6, 9)]), [(4, 6)]);
        assert_eq!(found(&[(1, 2), (3, 6)], &[(6, 7), (8, 9)]), [(2, 3), (7, 8)]);
        assert_eq!(found(&[(1, 9)], &[(7, 9)]), [(6, 7)], "the first segment of the new one");
        assert_eq!(found(&[], &[(6, 9)]), [], "nothing to lead from");
        let all = gaps(&wal(&[(1, 4)], &[(6, 9)]));
        assert!(all[0].text().contains("(timeline 2 left 1 at 0/60003E8)"), "{}", all[0].text());
    }
}
