//! What of a made-up site can be restored, and which promises hold: by other means than the plan's own.

use std::collections::{BTreeSet, HashMap};

use super::periods::{First, at, begin};
use super::present::{Ids, SEGMENT, Segments, number_of};
use super::world::{GRACE, World};
use crate::archive::manifest::SnapshotKind;
use crate::clock::Timestamp;
use crate::names::SnapshotId;
use crate::names::wal::TimelineId;
use crate::retention::hold::Held;
use crate::retention::phases::Phases;
use crate::retention::plan::ExpiryPlan;
use crate::retention::rule::Period;
use crate::retention::stock::{BaseRange, Item, Stock};

/// Moments of the window and of held spans that are judged, of some hundred.
const SAMPLED: usize = 6;

/// A moment that can be restored: all of the instance, or one file of it.
type Point = (i64, Option<usize>);

/// What is promised and can be restored.
pub(super) struct Promises {
    states: BTreeSet<SnapshotId>,
    points: BTreeSet<Point>,
}

impl World {
    /// Nothing goes that was stored within a grace before `now`, and what is deleted was needed by no run for
    /// a grace.
    pub(super) fn check_grace(&mut self, plan: &ExpiryPlan, phases: &Phases, now: i64) {
        let young_since = now - GRACE.as_secs() as i64;
        for one in plan.snapshots.iter().chain(&plan.batches) {
            assert!(one.stored_at.as_second() <= young_since, "{one:?} is young");
            self.unneeded.entry(number_of(&one.id)).or_insert(self.now);
        }
        let since = self.now - GRACE.as_secs() as i64;
        for id in phases.snapshots.iter().chain(&phases.batches) {
            assert!(self.unneeded[&number_of(id)] <= since, "{id} goes without a grace");
        }
        let started: HashMap<&SnapshotId, i64> = self.unfinished.iter().map(|(id, at)| (id, *at)).collect();
        for id in &phases.unfinished {
            assert!(started[id] <= since, "{id} goes, and may be running");
        }
    }

    /// What is promised at this time, and can be restored. Besides, what could not be read now, and all that
    /// it needs.
    pub(super) fn promises(&self, now: i64, stock: &Stock) -> Promises {
        let present = self.present();
        let mut states = self.promised_states(now);
        let unread: Ids = stock.unread.iter().chain(&stock.not_believed).map(|(id, _)| id).collect();
        let of_unread = self.items.iter().filter(|item| unread.contains(&item.id));
        states.extend(of_unread.filter(|item| World::is_whole(item, &present)).map(|item| &item.id));
        let points = self.points(now, &states);
        Promises { states: states.into_iter().cloned().collect(), points }
    }

    /// All of them hold now as they did.
    pub(super) fn check(&self, promises: &Promises, now: i64) {
        let whole = self.whole(&self.present());
        for id in &promises.states {
            assert!(whole.contains(id), "lost: {id}");
        }
        let after = self.points(now, &promises.states.iter().collect());
        for point in &promises.points {
            assert!(after.contains(point), "lost: {point:?}");
        }
    }

    /// The moments that are promised and can be restored; at each the files of each tenant.
    fn points(&self, now: i64, states: &BTreeSet<&SnapshotId>) -> BTreeSet<Point> {
        let mut found = BTreeSet::new();
        let present = self.present();
        let whole: Vec<&Item> = self.items.iter().filter(|item| World::is_whole(item, &present)).collect();
        let bases: Vec<&BaseRange> = whole.iter().filter_map(|item| item.base.as_ref()).collect();
        let stored = Segments::of(&self.wal.items);
        let mut is_held: Vec<bool> =
            self.files.iter().map(|file| file.batches.iter().any(|id| present.contains(id))).collect();
        for item in whole.iter().filter(|item| item.kind == SnapshotKind::Filestore) {
            self.lists[&item.id].iter().for_each(|file| is_held[*file] = true);
        }
        let mut add_files = |moment: i64, tenant: Option<usize>| {
            for (number, file) in self.files.iter().enumerate() {
                let is_named = file.born <= moment && file.gone.is_none_or(|gone| gone > moment);
                if is_named && is_held[number] && tenant.is_none_or(|tenant| file.tenant == tenant) {
                    found.insert((moment, Some(number)));
                }
            }
        };
        let moments = self.moments(now);
        moments.iter().for_each(|moment| add_files(*moment, None));
        for tenant in self.held_tenants() {
            let of = self.items.iter().filter(|item| item.tenant.as_ref() == Some(&self.tenants[tenant]));
            let Some(first) = of.map(|item| item.stored_at.as_second()).next() else { continue };
            sample(self.times(first, now)).into_iter().for_each(|moment| add_files(moment, Some(tenant)));
        }
        // What a filestore misses without naming it.
        for (id, files) in self.misses.iter().filter(|(id, _)| states.contains(id)) {
            let item = whole.iter().find(|item| item.id == *id);
            let Some(moment) = item.map(|item| item.stored_at.as_second()) else { continue };
            found.extend(files.iter().filter(|file| is_held[**file]).map(|file| (moment, Some(*file))));
        }
        for moment in moments {
            let at = self.log.partition_point(|(time, ..)| *time <= moment);
            let Some((_, timeline, lsn)) = at.checked_sub(1).map(|at| self.log[at]) else { continue };
            if bases.iter().any(|base| self.reaches(base, timeline, lsn, &stored)) {
                found.insert((moment, None));
            }
        }
        found
    }

    fn held_tenants(&self) -> impl Iterator<Item = usize> {
        let of = |held: &Held| match held {
            Held::Tenant(tenant) => self.tenants.iter().position(|one| one == tenant),
            _ => None,
        };
        self.held().filter_map(move |hold| of(&hold.held))
    }

    /// The moments that are promised: releases, base backups, and a sample of the window and of held spans.
    fn moments(&self, now: i64) -> BTreeSet<i64> {
        let mut found: BTreeSet<i64> =
            self.releases_in_force(now).map(|one| one.stored_at.as_second()).collect();
        found.extend(self.promised_bases(now).map(|item| item.stored_at.as_second()));
        let window = self.rules.instance.as_ref().map_or(i64::MAX, |rule| rule.window.as_secs() as i64);
        found.extend(sample(self.times(now.saturating_sub(window), now)));
        for hold in self.held() {
            if let Held::Span(from, to) = &hold.held {
                found.extend(sample(self.times(from.as_second(), to.as_second())));
            }
        }
        found
    }

    /// The times of the log from one to another, both included.
    fn times(&self, from: i64, to: i64) -> &[(i64, TimelineId, u64)] {
        let first = self.log.partition_point(|(time, ..)| *time < from);
        let end = self.log.partition_point(|(time, ..)| *time <= to);
        &self.log[first..end.max(first)]
    }

    fn reaches(&self, base: &BaseRange, timeline: TimelineId, lsn: u64, stored: &Segments) -> bool {
        let mut path: Vec<(TimelineId, u64)> = Vec::new();
        if timeline != base.timeline {
            let Some(ancestors) = self.wal.histories.get(&timeline) else { return false };
            let own =
                ancestors.iter().position(|one| one.timeline == base.timeline && one.until >= base.stop);
            let Some(own) = own else { return false };
            path.extend(ancestors[own..].iter().map(|one| (one.timeline, one.until.0)));
        } else if lsn < base.stop.0 {
            return false;
        }
        path.push((timeline, lsn));
        let mut at = base.start.0 / SEGMENT;
        for (timeline, until) in path {
            if !stored.contain(timeline.0, at, until.div_ceil(SEGMENT)) {
                return false;
            }
            // The next timeline has the segment in which it begins.
            at = until / SEGMENT;
        }
        true
    }

    /// The first real snapshot of each period is there as long as it counts.
    pub(super) fn check_periods(&mut self, now: i64) {
        let now = at(now).to_zoned(self.rules.zone.clone());
        let present = self.present();
        let items: HashMap<&SnapshotId, &Item> = self.items.iter().map(|item| (&item.id, item)).collect();
        let mut begins: HashMap<(Period, u32), Timestamp> = HashMap::new();
        let mut still_counts = |one: &First| {
            let rule = self.rule(one.tenant.map(|tenant| &self.tenants[tenant]));
            let Some(count) = rule.map(|rule| rule.periods[&one.period]) else { return true };
            // What did not count once is not promised for later.
            count > 0
                && one.stored_at
                    >= *begins.entry((one.period, count)).or_insert_with(|| begin(one.period, &now, count))
        };
        let still: Vec<bool> = self.promised.iter().map(&mut still_counts).collect();
        for one in self.promised.iter().zip(&still).filter(|(_, still)| **still).map(|(one, _)| one) {
            let item = items.get(&one.id);
            assert!(item.is_some_and(|item| World::is_whole(item, &present)), "lost: {one:?}");
        }
        let mut still = still.into_iter();
        self.promised.retain(|_| still.next() == Some(true));
    }
}

/// The first, the last and some between.
fn sample(log: &[(i64, TimelineId, u64)]) -> Vec<i64> {
    let step = (log.len() / SAMPLED).max(1);
    log.iter().step_by(step).chain(log.last()).map(|(time, ..)| *time).collect()
}
