//! The lives of a cluster that are stored in one instance: usually one. A copy that archives to the same
//! place as its original is another, and only a person knows which of them is production.
//!
//! **How they are distinguished.** Every promotion begins a timeline. Its history names the timeline that it
//! left, and the place. A life that has ended has no WAL after that place, or only WAL that was stored before
//! (a failover loses it). So a timeline is a life in two cases. Either no other timeline continues it. Or WAL
//! of it from after the place where another one left it was stored *after* the history of that other one, by
//! the store's clock: its server was alive and still wrote, however little. After a planned promotion the old
//! server writes nothing: that is no second life.
//!
//! A life is over when a base backup on another timeline was stored after the last of its WAL. Then nobody is
//! asked about it any more; `--timeline` still selects it.

use crate::clock::Timestamp;
use crate::inventory::Snapshot;
use crate::inventory::reach::{StoredWal, common_end};
use crate::names::Lsn;
use crate::names::wal::TimelineId;

/// A path through timelines on which a server writes, or wrote last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The timeline that it is on.
    pub timeline: TimelineId,
    /// All timelines that it came through, the oldest first, each with the place where the next took over.
    pub path: Vec<(TimelineId, Lsn)>,
    /// The byte after the last that is stored of it.
    pub end: Lsn,
    /// When the last of it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

impl Life {
    /// How far it goes, in words.
    pub fn text(&self) -> String {
        let left = self.path.iter().rev().nth(1);
        let left = left.map_or(String::new(), |(from, at)| format!(", which left {from} at {at},"));
        format!("timeline {}{left} is stored up to {}, at {}", self.timeline, self.end, self.stored_at)
    }
}

/// All of them in a sentence.
pub fn text(lives: &[Life]) -> String {
    lives.iter().map(Life::text).collect::<Vec<_>>().join("; ")
}

/// The lives that are not over, by timeline. `bases` are the base backups that are believed.
pub fn lives<'a>(wal: &StoredWal, bases: impl Iterator<Item = &'a Snapshot> + Clone) -> Vec<Life> {
    let mut timelines: Vec<TimelineId> = wal.windows.iter().map(|windows| windows.timeline).collect();
    timelines.extend(wal.histories.iter().map(|(id, _)| *id));
    timelines.sort();
    timelines.dedup();
    let all = timelines.iter().filter(|id| is_life(wal, **id));
    let lives: Vec<Life> = all.filter_map(|id| life(wal, *id, timelines.first() == Some(id))).collect();
    lives.iter().filter(|life| !is_over(life, bases.clone())).cloned().collect()
}

/// What is known of a timeline; `None` where it is not known where it came from.
fn life(wal: &StoredWal, timeline: TimelineId, is_first: bool) -> Option<Life> {
    let path = path(wal, timeline).filter(|path| is_first || path.len() > 1)?;
    let own = || wal.stored.iter().filter(|(id, ..)| *id == timeline);
    let begun = path.iter().rev().nth(1).map(|(_, until)| *until);
    Some(Life {
        timeline,
        end: own().map(|(_, end, _)| *end).max().or(begun)?,
        stored_at: own().map(|(.., at)| *at).max().or(wal.begun_at(timeline))?,
        path,
    })
}

/// The timelines that a timeline came through, itself last.
pub fn path(wal: &StoredWal, timeline: TimelineId) -> Option<Vec<(TimelineId, Lsn)>> {
    let history = wal.histories.iter().find(|(id, _)| *id == timeline);
    if history.is_none() && wal.unknown.iter().any(|unknown| unknown.timeline == timeline) {
        return None;
    }
    let ancestors = history.iter().flat_map(|(_, ancestors)| ancestors);
    let mut path: Vec<_> = ancestors.map(|ancestor| (ancestor.timeline, ancestor.until)).collect();
    path.push((timeline, Lsn(u64::MAX)));
    Some(path)
}

/// Whether no timeline continues it, or its server still wrote after one did.
fn is_life(wal: &StoredWal, timeline: TimelineId) -> bool {
    let mut children = wal.histories.iter().filter_map(|(child, ancestors)| {
        let parent = ancestors.last().filter(|parent| parent.timeline == timeline)?;
        Some((*child, parent.until))
    });
    children.all(|(child, until)| {
        let begun = wal.begun_at(child);
        // Of what is only known to be older than names were signed, it is not known whether it came after
        // that.
        let is_known = |at: Timestamp| wal.signed_since != Some(at);
        let after = |at: Timestamp| is_known(at) && begun.is_some_and(|begun| at > begun);
        wal.stored.iter().any(|(id, end, at)| *id == timeline && *end > until && after(*at))
    })
}

fn is_over<'a>(life: &Life, mut bases: impl Iterator<Item = &'a Snapshot>) -> bool {
    bases.any(|base| {
        let facts = base.manifest.base().filter(|_| base.stored_at > life.stored_at);
        facts.is_some_and(|facts| {
            let is_on = |(id, until): &(TimelineId, Lsn)| id.0 == facts.timeline && facts.stop_lsn <= *until;
            !life.path.iter().any(is_on)
        })
    })
}

/// The lives that are not on `timeline`, and up to where all are the same; `None` if there is no other.
pub fn rivals(wal: &StoredWal, lives: &[Life], timeline: TimelineId) -> Option<(Vec<TimelineId>, Lsn)> {
    let own = path(wal, timeline)?;
    let others: Vec<&Life> = lives.iter().filter(|life| life.timeline != timeline).collect();
    let common = others.iter().map(|life| common_end(&own, &life.path)).min()?;
    let mut all: Vec<TimelineId> = others.iter().map(|life| life.timeline).chain([timeline]).collect();
    all.sort();
    Some((all, common))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::wal_history::Ancestor;
    use crate::inventory::made_up::{SEGMENT, at, base, stored};

    /// Timeline 2 left 1 in the middle of segment 4, and its history was stored at hour 10.
    fn wal(stored: &[(u32, u64, i64)]) -> StoredWal {
        let one = |(id, end, hour): &(u32, u64, i64)| (TimelineId(*id), Lsn(*end), at(*hour));
        StoredWal {
            stored: stored.iter().map(one).collect(),
            histories: vec![(TimelineId(2), vec![Ancestor { timeline: TimelineId(1), until: Lsn(UNTIL) }])],
            begun: vec![(TimelineId(2), at(10))],
            windows: vec![crate::repository::wal::coverage::TimelineWindows {
                timeline: TimelineId(1),
                ranges: Vec::new(),
                gaps: Vec::new(),
                conflicts: Vec::new(),
            }],
            ..StoredWal::default()
        }
    }

    const UNTIL: u64 = 4 * SEGMENT + 1_000;

    fn of(wal: &StoredWal, bases: &[Snapshot]) -> Vec<u32> {
        lives(wal, bases.iter()).iter().map(|life| life.timeline.0).collect()
    }

    #[test]
    fn the_old_timeline_is_a_life_where_it_was_written_on_after_the_new_one_began() {
        let planned = wal(&[(1, 4 * SEGMENT, 9), (1, UNTIL, 11), (2, 5 * SEGMENT, 12)]);
        assert_eq!(of(&planned, &[]), [2], "what was stored late lies before the switch");
        let failover = wal(&[(1, 5 * SEGMENT, 9), (2, 5 * SEGMENT, 12)]);
        assert_eq!(of(&failover, &[]), [2], "what was lost had been stored before");
        let copied = wal(&[(1, 4 * SEGMENT, 9), (2, 5 * SEGMENT, 11), (1, UNTIL + 8, 12)]);
        assert_eq!(of(&copied, &[]), [1, 2], "within the segment where they part");
        let both = lives(&copied, [].iter());
        assert_eq!(
            rivals(&copied, &both, TimelineId(2)),
            Some((vec![TimelineId(1), TimelineId(2)], Lsn(UNTIL)))
        );
        assert!(both[1].text().contains("which left 1 at"), "{}", text(&both));
        assert_eq!(rivals(&planned, &lives(&planned, [].iter()), TimelineId(2)), None);
        let older = StoredWal { signed_since: Some(at(12)), ..copied };
        assert_eq!(of(&older, &[]), [2], "all that is known is that it is older than names were signed");
        let only_history = wal(&[(1, 4 * SEGMENT, 9)]);
        assert_eq!(of(&only_history, &[]), [2]);
    }

    #[test]
    fn a_life_is_over_when_a_base_backup_was_made_without_it() {
        let copied = wal(&[(2, 5 * SEGMENT, 11), (1, 6 * SEGMENT, 12)]);
        assert_eq!(of(&copied, &[stored(base("b1", 1, 5, &["b1"]), 13)]), [1]);
        assert_eq!(of(&copied, &[stored(base("b1", 1, 3, &["b1"]), 13)]), [1, 2], "from before they parted");
        assert_eq!(of(&copied, &[stored(base("b2", 2, 5, &["b2"]), 13)]), [2]);
        let goes_on = [stored(base("b2", 2, 5, &["b2"]), 11)];
        assert_eq!(of(&copied, &goes_on), [1, 2], "the copy's own, and production goes on");
    }

    #[test]
    fn where_a_timeline_came_from_may_not_be_known() {
        let mut unknown = wal(&[(1, 5 * SEGMENT, 9), (3, 5 * SEGMENT, 12)]);
        let mut three = unknown.windows[0].clone();
        three.timeline = TimelineId(3);
        unknown.windows.push(three);
        unknown.unknown =
            vec![crate::inventory::reach::Unknown { timeline: TimelineId(3), histories: Vec::new() }];
        assert_eq!(of(&unknown, &[]), [2]);
        unknown.histories.clear();
        assert_eq!(of(&unknown, &[]), [1], "nobody says that the third is another one");
    }
}
