//! What of a made-up site can be restored, and which promises hold: by other means than the plan's own.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::periods::{at, begin};
use super::world::{GRACE, SEGMENT, World};
use crate::names::SnapshotId;
use crate::names::wal::TimelineId;
use crate::retention::hold::Held;
use crate::retention::phases::Phases;
use crate::retention::plan::ExpiryPlan;
use crate::retention::stock::{BaseRange, Item, Stock};

impl World {
    /// What is deleted was needed by no run for a grace.
    pub(super) fn check_grace(&mut self, stock: &Stock, plan: &ExpiryPlan, phases: &Phases) {
        let goes: HashSet<&SnapshotId> =
            plan.snapshots.iter().chain(&plan.batches).map(|one| &one.id).collect();
        let seen = stock.items.iter().map(|item| &item.id);
        for id in seen.chain(stock.batches().iter().map(|batch| &batch.id)) {
            match goes.contains(id) {
                true => drop(self.unneeded.entry(id.clone()).or_insert(self.now)),
                false => drop(self.unneeded.remove(id)),
            }
        }
        for id in phases.snapshots.iter().chain(&phases.batches) {
            assert!(self.unneeded[id] <= self.now - GRACE.as_secs() as i64, "{id} goes without a grace");
        }
    }

    /// What can be restored of what is promised: moments, and at each the files of each tenant.
    pub(super) fn restorable(&mut self) -> BTreeSet<(i64, Option<usize>)> {
        let from = self.now - self.rules.instance.as_ref().unwrap().window.as_secs() as i64;
        let mut moments: Vec<i64> =
            self.log.iter().map(|(time, ..)| *time).filter(|time| *time >= from).collect();
        let holds = || self.holds.iter().filter(|hold| hold.removed.is_none());
        let held: Vec<&Held> = holds().map(|hold| &hold.held).collect();
        for held in held {
            if let Held::Span(from, to) = held {
                let (from, to) = (from.as_second(), to.as_second());
                moments.extend(
                    self.log.iter().map(|(time, ..)| *time).filter(|time| *time >= from && *time <= to),
                );
            }
        }
        let newest = self.releases.iter().map(|one| one.stored_at).max();
        for one in &self.releases {
            let longest = one.tenants.iter().map(|tenant| self.rules.tenants[tenant].releases).max().unwrap();
            let is_held = holds().any(|hold| hold.held == Held::Release(one.release.clone()));
            let time = one.stored_at.as_second();
            if is_held || Some(one.stored_at) == newest || time >= self.now - longest.as_secs() as i64 {
                moments.push(time);
            }
        }
        let present: HashSet<&SnapshotId> = self.items.iter().map(|item| &item.id).collect();
        let whole = |item: &&Item| item.needs.iter().all(|id| present.contains(id));
        let stored: HashSet<(u32, u64)> =
            self.wal.items.iter().map(|one| (one.timeline.0, one.begin.0 / SEGMENT)).collect();
        let bases: Vec<&BaseRange> =
            self.items.iter().filter(whole).filter_map(|item| item.base.as_ref()).collect();
        let listed: HashSet<usize> = {
            let whole: HashSet<&SnapshotId> = self.items.iter().filter(whole).map(|item| &item.id).collect();
            self.lists
                .iter()
                .filter(|(id, _)| whole.contains(id))
                .flat_map(|(_, files)| files)
                .copied()
                .collect()
        };
        let batches: HashSet<&SnapshotId> = self.batches.iter().map(|batch| &batch.id).collect();
        let mut found = BTreeSet::new();
        moments.sort_unstable();
        moments.dedup();
        // A sample: the first, the last and some between.
        let step = (moments.len() / 6).max(1);
        for moment in moments.iter().copied().step_by(step).chain(moments.last().copied()) {
            let Some((_, timeline, lsn)) = self.log.iter().rfind(|(time, ..)| *time <= moment) else {
                continue;
            };
            if bases.iter().any(|base| self.reaches(base, *timeline, *lsn, &stored)) {
                found.insert((moment, None));
            }
            for (number, file) in self.files.iter().enumerate() {
                let is_named = file.born <= moment && file.gone.is_none_or(|gone| gone > moment);
                let is_held = listed.contains(&number) || file.batches.iter().any(|id| batches.contains(id));
                if is_named && is_held {
                    found.insert((moment, Some(number)));
                }
            }
        }
        found
    }

    pub(super) fn reaches(
        &self,
        base: &BaseRange,
        timeline: TimelineId,
        lsn: u64,
        stored: &HashSet<(u32, u64)>,
    ) -> bool {
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
            while at * SEGMENT < until {
                if !stored.contains(&(timeline.0, at)) {
                    return false;
                }
                at += 1;
            }
            // The next timeline has the segment in which it begins.
            at = at.min(until / SEGMENT);
        }
        true
    }

    /// The first real snapshot of each period is there as long as it counts.
    pub(super) fn check_periods(&mut self) {
        let now = at(self.now).to_zoned(self.rules.zone.clone());
        let present: BTreeMap<&SnapshotId, &Item> = self.items.iter().map(|item| (&item.id, item)).collect();
        let rules = &self.rules;
        self.promised.retain(|one| {
            let rule = one.tenant.as_ref().map(|tenant| &rules.tenants[tenant]);
            let count = rule.or(rules.instance.as_ref()).unwrap().periods[&one.period];
            // What did not count once is not promised for later.
            if count == 0 || one.stored_at < begin(one.period, &now, count) {
                return false;
            }
            let item =
                present.get(&one.id).unwrap_or_else(|| panic!("a {} is gone: {one:?}", one.period.word()));
            assert!(item.needs.iter().all(|id| present.contains_key(id)), "{one:?} lacks something");
            true
        });
    }
}
