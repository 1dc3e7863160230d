//! How far recovery can go from a base backup: pure planning over what is stored.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::archive::base::BaseFacts;
use crate::archive::wal::WalName;
use crate::archive::wal_history::Ancestor;
use crate::clock::Timestamp;
use crate::inventory::target::Target;
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::repository::wal::Foreign;
use crate::repository::wal::coverage::TimelineWindows;

/// The WAL that is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoredWal {
    /// What is stored of each timeline.
    pub windows: Vec<TimelineWindows>,
    /// Where each timeline came from.
    pub histories: Vec<(TimelineId, Vec<Ancestor>)>,
    /// The end of each object, with its timeline, and when the store stored it.
    pub stored: Vec<(TimelineId, Lsn, Timestamp)>,
    /// When the history of each timeline was first stored, by the store's clock.
    pub begun: Vec<(TimelineId, Timestamp)>,
    /// Timelines that have two histories which differ.
    pub contradicting: Vec<TimelineId>,
    /// Timelines whose histories only an identity opens, as older versions stored them: without one their
    /// origin is not known.
    pub unknown: Vec<Unknown>,
    /// Size of a segment, where any WAL is stored.
    pub segment_bytes: Option<SegmentBytes>,
    /// Timelines that have a segment whose name is signed; none where no name is.
    pub signed: BTreeSet<TimelineId>,
    /// When the first object with a signed name was stored. One without that counts is older, whatever the
    /// store says of it (a copy of a repository loses the times): it has this time at most.
    pub signed_since: Option<Timestamp>,
    /// Objects among the WAL that do not count.
    pub foreign: Foreign,
}

impl StoredWal {
    /// The newest timeline of which WAL is stored. Where names are signed, it is the newest that has one.
    pub fn newest(&self) -> Option<TimelineId> {
        let all = self.windows.iter().map(|windows| windows.timeline);
        self.signed.last().copied().or_else(|| all.max())
    }

    /// When the end of these timelines was stored, and that end: not when something before it was, later.
    pub fn end_of(&self, followed: impl Fn(TimelineId) -> bool) -> Option<(Lsn, Timestamp)> {
        let windows = self.windows.iter().filter(|windows| followed(windows.timeline));
        let end = windows.filter_map(|windows| windows.ranges.last()).map(|range| range.end).max()?;
        let reaches = self.stored.iter().filter(|(id, to, _)| followed(*id) && *to >= end);
        reaches.map(|(.., at)| *at).min().map(|at| (end, at))
    }

    /// When the history of a timeline was first stored: it had begun by then.
    pub fn begun_at(&self, timeline: TimelineId) -> Option<Timestamp> {
        self.begun.iter().filter(|(id, _)| *id == timeline).map(|(_, at)| *at).min()
    }
}

/// A timeline whose origin is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Which.
    pub timeline: TimelineId,
    /// Its encrypted histories; only a restore, which has an identity, asks for them.
    #[serde(skip)]
    pub histories: Vec<WalName>,
}

/// How far it goes from one base backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The timeline to follow.
    pub timeline: TimelineId,
    /// The byte after the last that can be replayed.
    pub end: Lsn,
    /// When the last of it was stored; without WAL, the end of the backup itself.
    pub stored_at: Timestamp,
    /// The end of a gap: more WAL of this timeline is stored after it.
    pub gap_until: Option<Lsn>,
    /// It ends where WAL is stored twice with different content.
    pub is_contradicted: bool,
    /// The timelines that are followed, oldest first, and up to where each counts.
    pub path: Vec<(TimelineId, Lsn)>,
}

/// Up to where two ways are the same.
pub fn common_end(one: &[(TimelineId, Lsn)], other: &[(TimelineId, Lsn)]) -> Lsn {
    let mut end = Lsn(0);
    for (a, b) in one.iter().zip(other) {
        if a.0 != b.0 {
            return end;
        }
        end = a.1.min(b.1);
        if a.1 != b.1 {
            return end;
        }
    }
    end
}

/// The timelines that come after a base backup and that no other one continues; its own where none
/// does. More than one: only a person knows which is right.
pub fn ends(facts: &BaseFacts, wal: &StoredWal) -> Vec<TimelineId> {
    let descends: Vec<_> = wal.histories.iter().filter(|(id, _)| way(facts, wal, *id).is_some()).collect();
    let continued = |id: TimelineId| descends.iter().any(|(_, past)| past.iter().any(|a| a.timeline == id));
    let mut ends: Vec<TimelineId> = descends.iter().map(|(id, _)| *id).filter(|id| !continued(*id)).collect();
    ends.sort();
    if ends.is_empty() {
        ends.push(TimelineId(facts.timeline));
    }
    ends
}

/// The timelines that recovery follows after the base backup, on the way to `timeline`, and up to where each
/// counts; `None` if `timeline` does not descend from the backup's.
pub fn way(facts: &BaseFacts, wal: &StoredWal, timeline: TimelineId) -> Option<Vec<(TimelineId, Lsn)>> {
    let own = TimelineId(facts.timeline);
    let mut path = Vec::new();
    if timeline != own {
        let (_, ancestors) = wal.histories.iter().find(|(known, _)| *known == timeline)?;
        if !ancestors.iter().any(|a| a.timeline == own && a.until >= facts.stop_lsn) {
            return None;
        }
        let past = ancestors.iter().skip_while(|ancestor| ancestor.timeline != own);
        path.extend(past.map(|ancestor| (ancestor.timeline, ancestor.until)));
    }
    path.push((timeline, Lsn(u64::MAX)));
    Some(path)
}

/// The reach of a base backup that was consistent at `point`. `timeline` is the one to follow; the
/// newest that descends from the backup's where `None`.
pub fn reach(
    facts: &BaseFacts,
    point: Timestamp,
    wal: &StoredWal,
    timeline: Option<TimelineId>,
) -> Option<Reach> {
    let timeline = timeline.or_else(|| ends(facts, wal).pop())?;
    let path = way(facts, wal, timeline)?;
    let own_until = path.first().map_or(Lsn(u64::MAX), |(_, until)| *until);
    // The backup holds the segments up to its end; a primary filled the last one up.
    let segment = facts.wal_segment_bytes.max(1);
    let mut end = match facts.from_standby {
        true => facts.stop_lsn,
        false => Lsn(facts.stop_lsn.0.div_ceil(segment) * segment).min(own_until),
    };
    let backed_up = end;
    // WAL that is stored twice with different content is not used, nor is any WAL after it.
    let contradiction = |w: &TimelineWindows, from: Lsn, to: Lsn| {
        w.conflicts.iter().map(|c| c.begin).find(|begin| *begin >= from && *begin < to)
    };
    let ranges = || {
        path.iter().flat_map(|(id, until)| {
            let windows = wal.windows.iter().filter(move |w| w.timeline == *id);
            windows.flat_map(move |w| {
                w.ranges.iter().map(move |r| {
                    let end = r.end.min(*until);
                    (*id, r.begin, contradiction(w, r.begin.max(backed_up), end).unwrap_or(end))
                })
            })
        })
    };
    while let Some(next) =
        ranges().filter(|(_, begin, to)| *begin <= end && *to > end).map(|(_, _, to)| to).max()
    {
        end = next;
    }
    let stored =
        wal.stored.iter().filter(|(id, to, _)| path.iter().any(|(known, _)| known == id) && *to <= end);
    let stored_at = stored.map(|(_, _, at)| *at).max().filter(|_| end > backed_up).unwrap_or(point);
    let gap_until = ranges().map(|(_, begin, _)| begin).filter(|begin| *begin > end).min();
    let is_contradicted = wal.windows.iter().any(|w| {
        let is_followed = path.iter().any(|(id, until)| *id == w.timeline && *until > end);
        is_followed && w.conflicts.iter().any(|conflict| conflict.begin == end)
    });
    Some(Reach { timeline, end, stored_at: stored_at.max(point), gap_until, is_contradicted, path })
}

/// Why a base backup does not reach a target; `None` if it does.
pub fn obstacle(facts: &BaseFacts, point: Timestamp, reach: &Reach, target: &Target) -> Option<String> {
    match target {
        // Recovery would come to the gap and stop there, undecided.
        Target::Latest if reach.is_contradicted => {
            Some(format!("WAL at {} is stored twice, with different content", reach.end))
        }
        Target::Latest => reach.gap_until.map(|gap| {
            let end = reach.end;
            format!("WAL from {end} to {gap} is missing: recovery stops at {end}")
        }),
        Target::Immediate | Target::RestorePoint(_) => None,
        Target::Lsn(lsn) if *lsn < facts.stop_lsn => {
            Some(format!("it is consistent from {} on", facts.stop_lsn))
        }
        Target::Lsn(lsn) if *lsn >= reach.end => Some(format!("WAL is stored up to {}", reach.end)),
        Target::Time(time) if *time < point => Some(format!("it is consistent from {point} on")),
        Target::Time(time) if *time > reach.stored_at => {
            Some(format!("WAL is stored up to {} ({})", reach.end, reach.stored_at))
        }
        Target::Lsn(_) | Target::Time(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::repository::wal::coverage::LsnRange;

    const SEGMENT: u64 = 16 << 20;

    pub fn facts() -> BaseFacts {
        BaseFacts {
            system_identifier: "7".into(),
            server_version: "15".into(),
            server_major: 15,
            timeline: 1,
            start_lsn: Lsn(2 * SEGMENT + 40),
            checkpoint_lsn: Lsn(2 * SEGMENT + 96),
            stop_lsn: Lsn(2 * SEGMENT + 300),
            wal_segment_bytes: SEGMENT,
            from_standby: false,
            data_checksums: true,
            tablespaces: Vec::new(),
            chain: Vec::new(),
            full_because: None,
            files: 0,
            bytes: 0,
            unread_bytes: 0,
            bad_page_count: 0,
            bad_pages: Vec::new(),
            left_out: Vec::new(),
            made_on: None,
        }
    }

    fn windows(timeline: u32, ranges: &[(u64, u64)]) -> TimelineWindows {
        let range =
            |(begin, end): &(u64, u64)| LsnRange { begin: Lsn(begin * SEGMENT), end: Lsn(end * SEGMENT) };
        let ranges: Vec<LsnRange> = ranges.iter().map(range).collect();
        TimelineWindows { timeline: TimelineId(timeline), ranges, gaps: Vec::new(), conflicts: Vec::new() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_ends_at_a_gap_and_says_so() {
        let wal = StoredWal {
            windows: vec![windows(1, &[(3, 5), (6, 9)])],
            stored: vec![
                (TimelineId(1), Lsn(4 * SEGMENT), at(100)),
                (TimelineId(1), Lsn(5 * SEGMENT), at(200)),
            ],
            ..StoredWal::default()
        };
        let reach = reach(&facts(), at(50), &wal, None).unwrap();
        assert_eq!((reach.end, reach.stored_at), (Lsn(5 * SEGMENT), at(200)));
        assert_eq!(reach.gap_until, Some(Lsn(6 * SEGMENT)));
        let obstacle = |target| obstacle(&facts(), at(50), &reach, &target);
        assert!(obstacle(Target::Lsn(Lsn(2 * SEGMENT))).unwrap().contains("consistent from"));
        assert!(obstacle(Target::Lsn(Lsn(5 * SEGMENT))).unwrap().contains("stored up to"));
        assert_eq!(obstacle(Target::Lsn(Lsn(5 * SEGMENT - 1))), None);
        assert!(obstacle(Target::Time(at(49))).is_some() && obstacle(Target::Time(at(201))).is_some());
        assert_eq!(obstacle(Target::Time(at(150))), None);
        assert!(obstacle(Target::Latest).unwrap().contains("is missing: recovery stops at"));
        assert_eq!(obstacle(Target::Immediate), None);
    }

    #[test]
    fn siblings_are_seen_and_a_contradiction_ends_the_way() {
        let ancestor = |timeline, until| Ancestor { timeline: TimelineId(timeline), until: Lsn(until) };
        let mut wal = StoredWal {
            windows: vec![windows(1, &[(3, 5)]), windows(2, &[(4, 6)]), windows(3, &[(4, 9)])],
            histories: vec![
                (TimelineId(2), vec![ancestor(1, 4 * SEGMENT + 100)]),
                (TimelineId(3), vec![ancestor(1, 4 * SEGMENT + 300)]),
            ],
            ..StoredWal::default()
        };
        assert_eq!(ends(&facts(), &wal), [TimelineId(2), TimelineId(3)]);
        let [two, three] = [2, 3].map(|id| reach(&facts(), at(0), &wal, Some(TimelineId(id))).unwrap());
        assert_eq!(common_end(&two.path, &three.path), Lsn(4 * SEGMENT + 100));
        wal.windows[2].conflicts.push(LsnRange { begin: Lsn(7 * SEGMENT), end: Lsn(8 * SEGMENT) });
        let cut = reach(&facts(), at(0), &wal, Some(TimelineId(3))).unwrap();
        assert_eq!((cut.end, cut.is_contradicted), (Lsn(7 * SEGMENT), true));
        assert!(!two.is_contradicted && obstacle(&facts(), at(0), &cut, &Target::Latest).is_some());
        wal.histories.push((TimelineId(4), vec![ancestor(1, 4 * SEGMENT + 100), ancestor(2, 5 * SEGMENT)]));
        assert_eq!(ends(&facts(), &wal), [TimelineId(3), TimelineId(4)]);
    }

    #[test]
    fn it_follows_the_newest_timeline_that_descends_and_no_other() {
        let ancestor = |timeline, until| Ancestor { timeline: TimelineId(timeline), until: Lsn(until) };
        let wal = StoredWal {
            windows: vec![windows(1, &[(3, 4)]), windows(2, &[(4, 6)]), windows(3, &[(2, 9)])],
            histories: vec![
                (TimelineId(2), vec![ancestor(1, 4 * SEGMENT + 100)]),
                // left before the backup ended: not its future
                (TimelineId(3), vec![ancestor(1, 2 * SEGMENT + 50)]),
            ],
            ..StoredWal::default()
        };
        let newest = reach(&facts(), at(0), &wal, None).unwrap();
        assert_eq!((newest.timeline, newest.end), (TimelineId(2), Lsn(6 * SEGMENT)));
        let own = reach(&facts(), at(0), &wal, Some(TimelineId(1))).unwrap();
        assert_eq!((own.timeline, own.end), (TimelineId(1), Lsn(4 * SEGMENT)));
        assert_eq!(reach(&facts(), at(0), &wal, Some(TimelineId(3))), None);
        assert_eq!(ends(&facts(), &wal), [TimelineId(2)]);
        assert_eq!(common_end(&newest.path, &own.path), Lsn(4 * SEGMENT + 100));
        let nothing = reach(&facts(), at(7), &StoredWal::default(), None).unwrap();
        assert_eq!((nothing.end, nothing.stored_at), (Lsn(3 * SEGMENT), at(7)));
    }
}
