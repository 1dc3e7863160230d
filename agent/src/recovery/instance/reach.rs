//! How far recovery can go from a base backup: pure planning over what is stored.

use crate::archive::base::BaseFacts;
use crate::archive::wal_history::Ancestor;
use crate::clock::Timestamp;
use crate::names::Lsn;
use crate::names::wal::TimelineId;
use crate::recovery::instance::target::Target;
use crate::repository::wal::coverage::TimelineWindows;

/// The WAL that is stored.
#[derive(Clone, Debug, Default)]
pub struct StoredWal {
    /// What is there of each timeline.
    pub windows: Vec<TimelineWindows>,
    /// Where each timeline came from.
    pub histories: Vec<(TimelineId, Vec<Ancestor>)>,
    /// Until when WAL was stored, by timeline: end of an object, and the store's time of it;
    /// ascending.
    pub stored: Vec<(TimelineId, Lsn, Timestamp)>,
}

/// How far it goes from one base backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The timeline to follow.
    pub timeline: TimelineId,
    /// The byte after the last that can be replayed.
    pub end: Lsn,
    /// When the last of it was stored; the backup's own end where there is none.
    pub stored_at: Timestamp,
    /// More WAL of this timeline is stored behind a gap, which ends here.
    pub gap_until: Option<Lsn>,
}

/// The reach of a base backup that was consistent at `point`. `timeline` is the one to follow; the
/// newest that descends from the backup's where `None`.
pub fn reach(
    facts: &BaseFacts,
    point: Timestamp,
    wal: &StoredWal,
    timeline: Option<TimelineId>,
) -> Option<Reach> {
    let own = TimelineId(facts.timeline);
    let ancestors =
        |id: TimelineId| wal.histories.iter().find(|(known, _)| *known == id).map(|(_, list)| list);
    let descends = |id: TimelineId| {
        id == own
            || ancestors(id)
                .is_some_and(|list| list.iter().any(|a| a.timeline == own && a.until >= facts.stop_lsn))
    };
    let timeline = match timeline {
        Some(id) => Some(id).filter(|id| descends(*id)),
        None => wal.histories.iter().map(|(id, _)| *id).filter(|id| descends(*id)).max().or(Some(own)),
    }?;
    // From which timeline each stretch comes, and up to where it counts.
    let mut path: Vec<(TimelineId, Lsn)> = Vec::new();
    if timeline != own {
        let past = ancestors(timeline)?.iter().skip_while(|ancestor| ancestor.timeline != own);
        path.extend(past.map(|ancestor| (ancestor.timeline, ancestor.until)));
    }
    path.push((timeline, Lsn(u64::MAX)));
    let own_until = path.first().map_or(Lsn(u64::MAX), |(_, until)| *until);
    // The backup holds the segments up to its end; a primary filled the last one up.
    let segment = facts.wal_segment_bytes.max(1);
    let mut end = match facts.from_standby {
        true => facts.stop_lsn,
        false => Lsn(facts.stop_lsn.0.div_ceil(segment) * segment).min(own_until),
    };
    let ranges = || {
        path.iter().flat_map(|(id, until)| {
            let windows = wal.windows.iter().filter(move |w| w.timeline == *id);
            windows.flat_map(move |w| w.ranges.iter().map(move |r| (*id, r.begin, r.end.min(*until))))
        })
    };
    let backed_up = end;
    while let Some(next) =
        ranges().filter(|(_, begin, to)| *begin <= end && *to > end).map(|(_, _, to)| to).max()
    {
        end = next;
    }
    let stored =
        wal.stored.iter().filter(|(id, to, _)| path.iter().any(|(known, _)| known == id) && *to <= end);
    let stored_at = stored.map(|(_, _, at)| *at).max().filter(|_| end > backed_up).unwrap_or(point);
    let gap_until = ranges().map(|(_, begin, _)| begin).filter(|begin| *begin > end).min();
    Some(Reach { timeline, end, stored_at: stored_at.max(point), gap_until })
}

/// Why a base backup does not serve a target; `None` where it does.
pub fn obstacle(facts: &BaseFacts, point: Timestamp, reach: &Reach, target: &Target) -> Option<String> {
    match target {
        // Recovery would come to the gap and stop there, undecided.
        Target::Latest => reach.gap_until.map(|gap| {
            format!(
                "WAL from {} to {gap} is not stored, only what lies before that can be reached",
                reach.end
            )
        }),
        Target::Immediate | Target::RestorePoint(_) => None,
        Target::Lsn(lsn) if *lsn < facts.stop_lsn => {
            Some(format!("it is consistent from {} on", facts.stop_lsn))
        }
        Target::Lsn(lsn) if *lsn >= reach.end => Some(format!("WAL is stored up to {}", reach.end)),
        Target::Time(time) if *time < point => Some(format!("it is consistent from {point} on")),
        Target::Time(time) if *time > reach.stored_at => {
            Some(format!("WAL is stored up to {}, of {}", reach.end, reach.stored_at))
        }
        Target::Lsn(_) | Target::Time(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::wal::coverage::LsnRange;

    const SEGMENT: u64 = 16 << 20;

    fn facts() -> BaseFacts {
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
        assert!(obstacle(Target::Latest).unwrap().contains("is not stored"));
        assert_eq!(obstacle(Target::Immediate), None);
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
        let nothing = reach(&facts(), at(7), &StoredWal::default(), None).unwrap();
        assert_eq!((nothing.end, nothing.stored_at), (Lsn(3 * SEGMENT), at(7)));
    }
}
