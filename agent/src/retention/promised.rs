//! Until when what stays is promised, and so must be locked: pure, from the reasons for which it stays.
//!
//! A lock is made longer only where it is due. What has an end (a window, a period, a release) is locked
//! until then, once. What is kept until something else happens is locked for a while from now on, again and
//! again: when a third of that while is over. What a hold keeps is marked: it gets the store's legal hold,
//! too.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::keep::{Kept, kept, kept_by_holds};
use super::reason::Reason;
use super::rule::{Rule, Rules};
use super::stock::{GoodBefore, Item, Known, Stock, WalItem};
use crate::archive::wal::WalName;
use crate::clock::{Timestamp, later};
use crate::names::{ReleaseId, SnapshotId};
use crate::repository::locks::Until;
use crate::repository::promise::ROLLING;

/// What stays only until the next one comes: the newest of its kind, the start of a window.
const UNTIL_THE_NEXT: Duration = Duration::from_secs(3 * 86_400);

/// What must be locked.
#[derive(Debug)]
pub struct Promised {
    /// Snapshots and batches.
    pub snapshots: HashMap<SnapshotId, Until>,
    /// WAL.
    pub wal: HashMap<WalName, Until>,
    /// What is never deleted: checkpoints, holds, histories, and what makes the place a repository.
    pub records: Until,
    /// Whether any hold holds.
    pub is_any_held: bool,
}

/// The locks of everything that stays by these rules. `counted_from` is that of the plan; locks count from
/// `now`.
pub fn promised(stock: &Stock, rules: &Rules, counted_from: Timestamp, now: Timestamp) -> Promised {
    let held = kept_by_holds(stock, rules, counted_from);
    let kept = kept(stock, rules, counted_from);
    let ends = release_ends(stock, rules);
    let work = Work { stock, rules, now, ends: &ends };
    let snapshots = work.snapshots(&kept);
    let wal = work.wal(kept, &snapshots);
    let records = Until::rolling(now, ROLLING);
    let mut promised = Promised { snapshots, wal, records, is_any_held: held.is_some() };
    if let Some(held) = held {
        work.mark(&mut promised, held);
    }
    promised
}

/// Until when each release can be gone back to.
fn release_ends(stock: &Stock, rules: &Rules) -> HashMap<ReleaseId, Timestamp> {
    let Known::All(releases) = &stock.releases else { return HashMap::new() };
    let end = |one: &super::stock::ReleasePoint| {
        let spans =
            one.tenants.iter().filter_map(|tenant| rules.tenants.get(tenant)).map(|rule| rule.releases);
        Some((one.release.clone(), later(one.stored_at, spans.max()?)))
    };
    releases.iter().filter_map(end).collect()
}

struct Work<'a> {
    stock: &'a Stock,
    rules: &'a Rules,
    now: Timestamp,
    ends: &'a HashMap<ReleaseId, Timestamp>,
}

impl Work<'_> {
    /// For a reason of its own; `None` where it is another one's.
    fn own(&self, reason: &Reason, stored_at: Timestamp, of: Option<(&Item, &Rule)>) -> Option<Until> {
        let window = |rule: &Rule| {
            let end = later(stored_at, rule.window);
            Until { least: end, ..Until::fixed(end) }
        };
        let until = match reason {
            Reason::NeededBy(_) => return None,
            Reason::Window => match of.map(|(_, rule)| rule).or(self.rules.instance.as_ref()) {
                Some(rule) => window(rule),
                None => self.rolling(),
            },
            Reason::First(period) => match of {
                Some((item, rule)) => {
                    let zone = &self.rules.zone;
                    let count = rule.periods.get(period).copied().unwrap_or_default();
                    let number = period.number(item.claims.unwrap_or(item.stored_at), zone);
                    period
                        .begins(number + i64::from(count), zone)
                        .map_or_else(|| self.rolling(), Until::fixed)
                }
                None => self.rolling(),
            },
            Reason::Release(release) => match self.ends.get(release).filter(|end| **end > self.now) {
                Some(end) => Until::fixed(*end),
                None => self.next(), // the newest release, which stays until the next one
            },
            Reason::GoodBefore(suspicious) => {
                let known: &[GoodBefore] = match &self.stock.suspicions {
                    Known::All(all) => all,
                    Known::Unknown(_) => &[],
                };
                let until = known.iter().find(|one| one.suspicious == *suspicious).map(|one| one.until);
                until.map_or_else(|| self.rolling(), Until::fixed)
            }
            Reason::WindowStart | Reason::Newest | Reason::Young => self.next(),
            Reason::Hold(_) | Reason::NoClass | Reason::Unknown(_) => self.rolling(),
        };
        Some(until)
    }

    fn rolling(&self) -> Until {
        Until::rolling(self.now, ROLLING)
    }

    fn next(&self) -> Until {
        Until::rolling(self.now, UNTIL_THE_NEXT)
    }

    /// Marks what holds keep. Records as well, while any hold holds: without the histories of timelines, and
    /// what makes the place a repository, nothing of the rest can be restored.
    fn mark(&self, promised: &mut Promised, held: Kept<'_>) {
        let mark = |until: &mut Until| until.held = true;
        mark(&mut promised.records);
        for id in held.reasons.keys().chain(held.batches.keys()) {
            mark(promised.snapshots.entry((*id).clone()).or_insert_with(|| self.next()));
        }
        let Known::All(wal) = &self.stock.wal else { return };
        let all = held.wal.all().is_some();
        let spans = held.wal.into_spans();
        for (item, name) in wal.items.iter().zip(&wal.names) {
            if all || spans.iter().any(|span| span.meets(item)) {
                mark(promised.wal.entry(*name).or_insert_with(|| self.next()));
            }
        }
    }

    fn snapshots(&self, kept: &Kept<'_>) -> HashMap<SnapshotId, Until> {
        let mut found: HashMap<&SnapshotId, Until> = HashMap::new();
        let items = || self.stock.items.iter().filter_map(|item| Some((item, kept.reasons.get(&item.id)?)));
        for (item, reasons) in items() {
            let rule = match &item.tenant {
                Some(tenant) => self.rules.tenants.get(tenant),
                None => self.rules.instance.as_ref(),
            };
            let of = rule.map(|rule| (item, rule));
            let own = reasons.iter().filter_map(|reason| self.own(reason, item.stored_at, of));
            if let Some(until) = own.reduce(Until::or) {
                found.insert(&item.id, until);
            }
        }
        for batch in self.stock.batches() {
            let own = kept.batches.get(&batch.id).and_then(|reason| self.own(reason, batch.stored_at, None));
            if let Some(until) = own {
                found.insert(&batch.id, until);
            }
        }
        // Roles are needed by a dump, which needs a filestore: so what is needed is gone through twice.
        for _ in 0..2 {
            let mut needed: Vec<(&SnapshotId, Until)> = Vec::new();
            for (item, reasons) in items() {
                if let Some(until) = found.get(&item.id) {
                    needed.extend(item.needs.iter().map(|id| (id, *until)));
                }
                needed.extend(needed_by(reasons).filter_map(|by| Some((&item.id, *found.get(by)?))));
            }
            for (id, reason) in &kept.batches {
                if let Reason::NeededBy(by) = reason
                    && let Some(until) = found.get(by)
                {
                    needed.push((id, *until));
                }
            }
            for (id, until) in needed {
                let until = until.of_needed();
                let known = found.entry(id).or_insert(until);
                *known = known.or(until);
            }
        }
        let stays = kept.reasons.keys().chain(kept.batches.keys());
        stays.map(|id| ((*id).clone(), found.get(id).copied().unwrap_or_else(|| self.next()))).collect()
    }

    fn wal(&self, kept: Kept<'_>, snapshots: &HashMap<SnapshotId, Until>) -> HashMap<WalName, Until> {
        let Known::All(wal) = &self.stock.wal else { return HashMap::new() };
        let goes: BTreeSet<_> = kept.wal.goes(wal).iter().map(place).collect();
        let all = kept.wal.all().cloned();
        let spans = kept.wal.into_spans();
        let until = |item: &WalItem| {
            let window = self.rules.instance.as_ref().map(|rule| later(item.stored_at, rule.window));
            let mut until = match window.filter(|end| *end > self.now) {
                Some(end) => Until { least: end, ..Until::fixed(end) },
                None => self.next(),
            };
            for reason in spans.iter().filter(|span| span.meets(item)).map(|span| &span.reason).chain(&all) {
                let more = match reason {
                    Reason::Window => None, // as above: a window begins with a base backup that is older
                    Reason::NeededBy(by) => snapshots.get(by).map(|until| until.of_needed()),
                    other => self.own(other, item.stored_at, None),
                };
                until = more.map_or(until, |more| until.or(more));
            }
            until
        };
        let stays = wal.items.iter().zip(&wal.names).filter(|(item, _)| !goes.contains(&place(item)));
        stays.map(|(item, name)| (*name, until(item))).collect()
    }
}

fn place(item: &WalItem) -> (crate::names::wal::TimelineId, crate::names::Lsn, crate::names::Lsn, Timestamp) {
    (item.timeline, item.begin, item.end, item.stored_at)
}

fn needed_by(reasons: &BTreeSet<Reason>) -> impl Iterator<Item = &SnapshotId> {
    reasons.iter().filter_map(|reason| match reason {
        Reason::NeededBy(by) => Some(by),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::archive::manifest::SnapshotKind;
    use crate::archive::wal::HalfDigest;
    use crate::clock;
    use crate::names::Lsn;
    use crate::names::wal::{TimelineId, WalFile};
    use crate::retention::hold::{Held, Hold};
    use crate::retention::rule::Period;
    use crate::retention::stock::{BaseRange, Batch, Dropped, WalStock};

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn id(text: &str) -> SnapshotId {
        text.parse().unwrap()
    }

    /// A snapshot of `shop`, which needs these.
    fn item(name: &str, stored_at: &str, needs: &[&str]) -> Item {
        let kind = if name.contains("-dump-") { SnapshotKind::Dump } else { SnapshotKind::Filestore };
        Item {
            id: id(name),
            kind,
            tenant: Some("shop".parse().unwrap()),
            release: None,
            stored_at: at(stored_at),
            claims: None,
            bytes: 1,
            whole: true,
            may_be_whole: true,
            needs: needs.iter().chain([&name]).map(|name| id(name)).collect(),
            base: None,
            misses_unnamed: false,
            cold: None,
        }
    }

    const OLD_FILES: &str = "20261101T020000Z-filestore-00000001";
    const FILES: &str = "20261120T020000Z-filestore-00000002";
    const MONTHLY: &str = "20261101T020000Z-dump-00000003";
    const NEWEST: &str = "20261120T020000Z-dump-00000004";

    fn stock(holds: Vec<Hold>) -> Stock {
        Stock {
            items: vec![
                item(OLD_FILES, "2026-11-01T02:10:00Z", &[]),
                item(MONTHLY, "2026-11-01T02:15:00Z", &[OLD_FILES]),
                item(FILES, "2026-11-20T02:10:00Z", &[OLD_FILES]),
                item(NEWEST, "2026-11-20T02:15:00Z", &[FILES, OLD_FILES]),
            ],
            unread: Vec::new(),
            not_believed: Vec::new(),
            unfinished: Vec::new(),
            batches: Known::All(Vec::new()),
            wal: Known::All(Default::default()),
            releases: Known::All(Vec::new()),
            holds: Known::All(holds),
            not_removed: Vec::new(),
            suspicions: Known::All(Vec::new()),
            garbage: Default::default(),
            dropped: Dropped { looks: Known::All(Vec::new()), named: BTreeSet::new() },
            tenants: Known::All(BTreeSet::from(["shop".parse().unwrap()])),
        }
    }

    fn rules(months: u32) -> Rules {
        let rule = Rule {
            window: 7 * DAY,
            periods: BTreeMap::from([(Period::Month, months)]),
            releases: 90 * DAY,
            dropped: None,
        };
        Rules {
            tenants: BTreeMap::from([("shop".parse().unwrap(), rule.clone())]),
            instance: Some(rule),
            zone: TimeZone::UTC,
            grace: DAY,
        }
    }

    fn ends(stock: &Stock, rules: &Rules, now: &str) -> impl Fn(&str) -> (String, String) + use<> {
        let found = promised(stock, rules, at(now), at(now)).snapshots;
        move |name| {
            let until = found[&id(name)];
            (clock::text(until.due), clock::text(until.at))
        }
    }

    fn both(time: &str) -> (String, String) {
        (time.to_owned(), time.to_owned())
    }

    #[test]
    fn a_lock_lasts_as_long_as_the_longest_reason_and_what_it_needs_as_well() {
        let end = ends(&stock(Vec::new()), &rules(3), "2026-11-21T00:00:00Z");
        // The first of November is kept in November, December and January; so is what it needs.
        assert_eq!(end(MONTHLY), both("2027-02-01T00:00:00Z"));
        assert_eq!(end(OLD_FILES), both("2027-02-01T00:00:00Z"));
        // The window, which is longer than "until the next one comes".
        assert_eq!(end(NEWEST), both("2026-11-27T02:15:00Z"));
        assert_eq!(end(FILES), both("2026-11-27T02:15:00Z"));
    }

    #[test]
    fn what_is_kept_until_something_happens_is_locked_again_and_again() {
        // Backups have stopped: the newest is long out of the window.
        let end = ends(&stock(Vec::new()), &rules(0), "2026-12-24T00:00:00Z");
        assert_eq!(end(NEWEST), ("2026-12-26T00:00:00Z".to_owned(), "2026-12-27T00:00:00Z".to_owned()));
        let hold = Hold {
            name: "case".to_owned(),
            held: Held::Snapshot(id(MONTHLY)),
            reason: String::new(),
            by: String::new(),
            since: at("2026-11-21T00:00:00Z"),
            removed: None,
        };
        let end = ends(&stock(vec![hold]), &rules(0), "2026-12-24T00:00:00Z");
        let rolling = ("2027-01-02T08:00:00Z".to_owned(), "2027-01-07T00:00:00Z".to_owned());
        assert_eq!((end(MONTHLY), end(OLD_FILES)), (rolling.clone(), rolling));
    }

    const BATCH: &str = "20261110T020000Z-arrivals-00000005";
    const BASE: &str = "20261110T010000Z-base-00000006";
    const FILES_BEFORE: &str = "20261109T020000Z-filestore-00000007";
    const FILES_AFTER: &str = "20261111T020000Z-filestore-00000008";

    /// The base backup and what belongs to it, all of it in the window.
    fn with_base(holds: Vec<Hold>) -> Stock {
        let mut stock = stock(holds);
        let range = BaseRange {
            timeline: TimelineId(1),
            start: Lsn(0x0300_0000),
            stop: Lsn(0x0400_0000),
            segment: 16 << 20,
        };
        let kind = SnapshotKind::Base;
        let base = item(BASE, "2026-11-10T01:10:00Z", &[]);
        let base = Item { kind, tenant: None, base: Some(range), ..base };
        let files = [(FILES_BEFORE, "2026-11-09T02:10:00Z"), (FILES_AFTER, "2026-11-11T02:10:00Z")];
        let files = files.map(|(name, at)| item(name, at, &[]));
        stock.items.extend(files.into_iter().chain([base]));
        stock.items.sort_by_key(|item| item.stored_at);
        stock.batches =
            Known::All(vec![Batch { id: id(BATCH), stored_at: at("2026-11-10T02:00:00Z"), bytes: 1 }]);
        let mut wal = WalStock::default();
        for number in [2, 3, 4] {
            let begin = Lsn(number << 24);
            wal.items.push(WalItem {
                timeline: TimelineId(1),
                begin,
                end: Lsn(begin.0 + (16 << 20)),
                stored_at: at("2026-11-10T01:20:00Z"),
                bytes: 1,
            });
            let file = WalFile::Segment(format!("00000001000000000000000{number}").parse().unwrap());
            let digest = HalfDigest::of(b"");
            let (end, plain, stored) = (16 << 20, digest, digest);
            wal.names.push(WalName { file, begin: 0, end, plain, stored, signature: None });
        }
        stock.wal = Known::All(wal);
        stock
    }

    fn hold(held: Held, removed: Option<&str>) -> Hold {
        Hold {
            name: "case".to_owned(),
            held,
            reason: String::new(),
            by: String::new(),
            since: at("2026-11-12T00:00:00Z"),
            removed: removed.map(at),
        }
    }

    /// What is marked as held, in the order of its names; and WAL by its number.
    fn marked(hold: Hold) -> (Vec<String>, Vec<u64>, bool) {
        let mut rules = rules(0);
        rules.instance.as_mut().unwrap().window = 90 * DAY;
        rules.tenants.values_mut().for_each(|rule| rule.window = 90 * DAY);
        let now = at("2026-11-21T00:00:00Z");
        let found = promised(&with_base(vec![hold]), &rules, now, now);
        assert_eq!((found.snapshots.len(), found.wal.len()), (8, 3));
        let held = found.snapshots.iter().filter(|(_, until)| until.held);
        let mut names: Vec<String> = held.map(|(id, _)| id.to_string()).collect();
        names.sort();
        let wal = found.wal.iter().filter(|(_, until)| until.held);
        let mut wal: Vec<u64> = wal.map(|(name, _)| name.file.to_string()[23..].parse().unwrap()).collect();
        wal.sort();
        (names, wal, found.records.held)
    }

    #[test]
    fn what_a_hold_keeps_is_marked_although_the_window_keeps_it_too() {
        let (names, wal, records) = marked(hold(Held::Snapshot(id(BASE)), None));
        assert_eq!(names, [FILES_BEFORE, BASE, BATCH, FILES_AFTER]);
        assert_eq!((wal, records), (vec![3], true));
        let (names, wal, _) = marked(hold(Held::Snapshot(id(NEWEST)), None));
        assert_eq!((names, wal), (vec![OLD_FILES.to_owned(), NEWEST.to_owned(), FILES.to_owned()], vec![]));
    }

    #[test]
    fn a_removed_hold_marks_for_one_more_grace_and_then_nothing() {
        let held = || Held::Snapshot(id(MONTHLY));
        let (names, ..) = marked(hold(held(), Some("2026-11-20T12:00:00Z")));
        assert_eq!(names, [MONTHLY, OLD_FILES]);
        let nothing = (Vec::new(), Vec::new(), false);
        assert_eq!(marked(hold(held(), Some("2026-11-19T12:00:00Z"))), nothing);
    }

    #[test]
    fn a_lock_that_was_taken_away_is_told_from_one_that_is_due() {
        let found =
            promised(&stock(Vec::new()), &rules(3), at("2026-11-21T00:00:00Z"), at("2026-11-21T00:00:00Z"));
        assert_eq!(found.snapshots[&id(NEWEST)].least, at("2026-11-27T02:15:00Z"));
        assert!(
            found.snapshots[&id(OLD_FILES)].least < at("2026-11-21T00:00:00Z"),
            "it is needed for longer"
        );
    }
}
