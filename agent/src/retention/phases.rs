//! Deleting in two phases: what a plan lets go is named in a tombstone first, and deleted by a run that comes
//! a grace later, if no rule keeps it then either. Pure, like the plan.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::garbage::{Piece, Sort};
use super::plan::ExpiryPlan;
use super::stock::{Item, Known, Stock, WalItem};
use crate::archive::tombstone::{Named, WalRange};
use crate::clock::{Timestamp, earlier, later};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, SnapshotId};
use crate::store::UnfinishedUpload;

/// How long after its grace a tombstone counts: later, the same must be announced again.
const COUNTS_FOR: Duration = Duration::from_secs(7 * 86_400);

/// A tombstone that is stored and believed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pending {
    /// Which run made it.
    pub run: SnapshotId,
    /// What it names.
    pub named: Named,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// What a run does.
#[derive(Clone, Debug, Default)]
pub struct Phases {
    /// Deleted now: snapshots, each before what it needs.
    pub snapshots: Vec<SnapshotId>,
    /// Deleted now: batches of files.
    pub batches: Vec<SnapshotId>,
    /// Deleted now: without a manifest.
    pub unfinished: Vec<SnapshotId>,
    /// Deleted now: every object of one of these ranges that was stored at its time.
    pub wal: Vec<WalItem>,
    /// Deleted now: garbage.
    pub garbage: Vec<Piece>,
    /// Removed now, and never announced: what was never finished is no object that anybody could read.
    pub uploads: Vec<UnfinishedUpload>,
    /// The size of what is deleted now, without unfinished snapshots.
    pub deleted_bytes: u64,
    /// Announced now: deleted a grace later at the earliest.
    pub announced: Named,
    /// The size of that.
    pub announced_bytes: u64,
    /// Tombstones that name what is needed after all: they are removed.
    pub withdrawn: Vec<SnapshotId>,
    /// How many of the others wait for the end of their grace.
    pub waiting: usize,
    /// When the next of the others can be carried out.
    pub next: Option<Timestamp>,
}

impl Phases {
    /// Whether nothing is to be done now.
    pub fn is_nothing(&self) -> bool {
        let Phases { snapshots, batches, unfinished, wal, garbage, uploads, announced, withdrawn, .. } = self;
        snapshots.is_empty()
            && batches.is_empty()
            && unfinished.is_empty()
            && wal.is_empty()
            && garbage.is_empty()
            && uploads.is_empty()
            && announced.is_empty()
            && withdrawn.is_empty()
    }
}

/// The two phases of this plan. `grace` is longer than the longest backup and restore.
pub fn phases(stock: &Stock, plan: &ExpiryPlan, pending: &[Pending], grace: Duration) -> Phases {
    let goes = Goes::of(plan);
    let mut phases = Phases::default();
    let oldest = earlier(plan.now, grace.saturating_add(COUNTS_FOR));
    let (mut ripe, mut named): (Vec<&Pending>, Vec<&Pending>) = (Vec::new(), Vec::new());
    for one in pending {
        // However old: writers look at it, too.
        if goes.is_kept_of(one, stock) {
            phases.withdrawn.push(one.run.clone());
            continue;
        }
        // The store's clock never stores later than now.
        if one.stored_at < oldest || one.stored_at > plan.now {
            continue;
        }
        named.push(one);
        let from = later(one.stored_at, grace);
        match from <= plan.now {
            true => ripe.push(one),
            false => {
                phases.waiting += 1;
                phases.next = Some(phases.next.map_or(from, |next| next.min(from)));
            }
        }
    }
    let step = |is_in: &dyn Fn(&Named) -> bool| match ripe.iter().any(|one| is_in(&one.named)) {
        true => Step::Delete,
        false if named.iter().any(|one| is_in(&one.named)) => Step::Wait,
        false => Step::Announce,
    };
    // Later ones need earlier ones, never the other way round.
    for one in plan.snapshots.iter().rev() {
        match step(&|named| named.snapshots.contains(&one.id)) {
            Step::Delete => {
                phases.snapshots.push(one.id.clone());
                phases.deleted_bytes += one.bytes;
            }
            Step::Wait => {}
            Step::Announce => {
                phases.announced.snapshots.insert(one.id.clone());
                phases.announced_bytes += one.bytes;
            }
        }
    }
    for one in &plan.batches {
        match step(&|named| named.batches.contains(&one.id)) {
            Step::Delete => {
                phases.batches.push(one.id.clone());
                phases.deleted_bytes += one.bytes;
            }
            Step::Wait => {}
            Step::Announce => {
                phases.announced.batches.insert(one.id.clone());
                phases.announced_bytes += one.bytes;
            }
        }
    }
    for id in &plan.unfinished {
        match step(&|named| named.unfinished.contains(id)) {
            Step::Delete => phases.unfinished.push(id.clone()),
            Step::Wait => {}
            Step::Announce => drop(phases.announced.unfinished.insert(id.clone())),
        }
    }
    for one in &plan.garbage {
        match step(&|named| named.garbage.contains(&one.name)) {
            Step::Delete => {
                phases.garbage.push(one.clone());
                phases.deleted_bytes += one.bytes;
            }
            Step::Wait => {}
            Step::Announce => {
                phases.announced.garbage.insert(one.name.clone());
                phases.announced_bytes += one.bytes;
            }
        }
    }
    phases.uploads = plan.uploads.clone();
    phases.deleted_bytes += plan.uploads.iter().map(|one| one.bytes).sum::<u64>();
    let (ripe, named) = (Ranges::of(&ripe), Ranges::of(&named));
    let mut announced = Vec::new();
    for item in &plan.wal {
        if ripe.hold(item) {
            phases.wal.push(*item);
            phases.deleted_bytes += item.bytes;
        } else if !named.hold(item) {
            announced.push(*item);
            phases.announced_bytes += item.bytes;
        }
    }
    phases.announced.wal = ranges(&announced, &kept_wal(stock, &goes));
    phases
}

/// The WAL that stays.
fn kept_wal<'a>(stock: &'a Stock, goes: &Goes) -> Vec<&'a WalItem> {
    match &stock.wal {
        Known::All(wal) => wal.items.iter().filter(|item| !goes.wal.contains(&of(item))).collect(),
        Known::Unknown(_) => Vec::new(),
    }
}

/// What becomes of something that the plan lets go.
enum Step {
    Delete,
    Wait,
    Announce,
}

/// What the plan lets go, to look things up in.
struct Goes<'a> {
    snapshots: HashSet<&'a SnapshotId>,
    wal: HashSet<(TimelineId, Lsn, Lsn, Timestamp)>,
}

impl Goes<'_> {
    fn of(plan: &ExpiryPlan) -> Goes<'_> {
        let all = plan.snapshots.iter().chain(&plan.batches).map(|one| &one.id).chain(&plan.unfinished);
        Goes { snapshots: all.collect(), wal: plan.wal.iter().map(of).collect() }
    }

    /// Whether something that a tombstone names is there and stays.
    fn is_kept_of(&self, one: &Pending, stock: &Stock) -> bool {
        let Named { snapshots, batches, unfinished, garbage, .. } = &one.named;
        let stays = |id: &SnapshotId| !self.snapshots.contains(id);
        // One that has a manifest is not unfinished.
        let is_kept_item =
            |item: &Item| snapshots.contains(&item.id) && stays(&item.id) || unfinished.contains(&item.id);
        // What was stored again since then is not deleted by it; whoever can write could otherwise withdraw
        // any tombstone.
        let was_young = |stored: Timestamp, over: Timestamp| stored <= one.stored_at && over > one.stored_at;
        let mut pieces = stock.garbage.pieces.iter().filter(|piece| garbage.contains(&piece.name));
        let mut reports = garbage.iter().filter_map(|name| stock.garbage.young_reports.get(name));
        let is_kept = stock.items.iter().any(is_kept_item)
            || pieces.any(|piece| was_young(piece.stored_at, piece.over))
            || reports.any(|(stored, over)| was_young(*stored, *over))
            || stock.batches().iter().any(|batch| batches.contains(&batch.id) && stays(&batch.id));
        let Known::All(wal) = &stock.wal else { return is_kept };
        let named = Ranges::of(&[one]);
        is_kept || wal.items.iter().any(|item| named.hold(item) && !self.wal.contains(&of(item)))
    }
}

fn of(item: &WalItem) -> (TimelineId, Lsn, Lsn, Timestamp) {
    (item.timeline, item.begin, item.end, item.stored_at)
}

/// Ranges of WAL by timeline.
struct Ranges<'a>(BTreeMap<TimelineId, Vec<&'a WalRange>>);

impl<'a> Ranges<'a> {
    fn of(pending: &[&'a Pending]) -> Ranges<'a> {
        let mut all: BTreeMap<TimelineId, Vec<&WalRange>> = BTreeMap::new();
        for range in pending.iter().flat_map(|one| &one.named.wal) {
            all.entry(range.timeline).or_default().push(range);
        }
        Ranges(all)
    }

    /// Whether one of them holds all of it.
    fn hold(&self, item: &WalItem) -> bool {
        self.0.get(&item.timeline).is_some_and(|ranges| {
            ranges.iter().any(|range| range.holds(item.begin, item.end, item.stored_at))
        })
    }
}

/// The ranges that objects make up, those that touch as one. None holds anything that stays: a tombstone that
/// names such a thing would be removed by the next run, and nothing would ever go. An object whose own range
/// does waits until that goes, too.
fn ranges(items: &[WalItem], kept: &[&WalItem]) -> Vec<WalRange> {
    let mut items: Vec<&WalItem> = items.iter().collect();
    items.sort_by_key(|item| (item.timeline, item.begin));
    let kept = Kept::of(kept);
    let mut found: Vec<WalRange> = Vec::new();
    for item in items {
        let own = WalRange {
            timeline: item.timeline,
            begin: item.begin,
            end: item.end,
            stored_until: item.stored_at,
        };
        if kept.is_any_in(&own) {
            continue;
        }
        let joined = found.last().filter(|last| last.timeline == own.timeline && own.begin <= last.end);
        let joined = joined.map(|last| WalRange {
            end: last.end.max(own.end),
            stored_until: last.stored_until.max(own.stored_until),
            ..last.clone()
        });
        match joined.filter(|joined| !kept.is_any_in(joined)) {
            Some(joined) => *found.last_mut().expect("it was joined to") = joined,
            None => found.push(own),
        }
    }
    found
}

/// WAL that stays, in the order of its beginnings.
struct Kept<'a>(Vec<&'a WalItem>);

impl<'a> Kept<'a> {
    fn of(kept: &[&'a WalItem]) -> Kept<'a> {
        let mut kept = kept.to_vec();
        kept.sort_by_key(|item| (item.timeline, item.begin));
        Kept(kept)
    }

    fn is_any_in(&self, range: &WalRange) -> bool {
        let first =
            self.0.partition_point(|item| (item.timeline, item.begin) < (range.timeline, range.begin));
        let begun = self.0[first..].iter();
        begun
            .take_while(|item| item.timeline == range.timeline && item.begin < range.end)
            .any(|item| range.holds(item.begin, item.end, item.stored_at))
    }
}

/// How much of what is stored a run announces: the largest of its shares of snapshots, of drill reports and
/// of bytes, from 0 to 1.
pub fn share(stock: &Stock, plan: &ExpiryPlan, phases: &Phases) -> f64 {
    let of = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
    let bytes = of(phases.announced_bytes as f64, stock.bytes() as f64);
    let is_new_report =
        |one: &&Piece| one.sort == Sort::Drill && phases.announced.garbage.contains(&one.name);
    let reports = plan.garbage.iter().filter(is_new_report).count();
    bytes
        .max(of(phases.announced.snapshots.len() as f64, stock.items.len() as f64))
        .max(of(reports as f64, stock.garbage.reports as f64))
}
