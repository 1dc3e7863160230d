//! A run of expire on a made-up site, which may be killed on its way.

use std::collections::HashSet;

use super::periods::at;
use super::present::{Ids, number_of};
use super::world::{DAY, GRACE, World};
use crate::archive::manifest::SnapshotKind;
use crate::retention::phases::{Pending, Phases, phases};
use crate::retention::plan::{Clock, plan};
use crate::retention::stock::WalItem;

/// How far a clock is wrong.
const YEARS: i64 = 3 * 366 * DAY;

/// How far a run comes before it is killed.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Reached {
    Nothing,
    Announced,
    Withdrawn,
    SomeManifests,
    AllManifests,
    SomeWal,
    End,
}

const KILLED_AT: [Reached; 6] = [
    Reached::Nothing,
    Reached::Announced,
    Reached::Withdrawn,
    Reached::SomeManifests,
    Reached::AllManifests,
    Reached::SomeWal,
];

impl World {
    /// One run; how many tombstones name what is needed after all.
    pub(super) fn expire(&mut self) -> usize {
        let wrong = if self.may_fail { self.dice.below(40) } else { 2 };
        let now = match wrong {
            0 => self.now - YEARS,
            1 => self.now + YEARS,
            _ => self.now,
        };
        let stock = self.stock();
        let plan = plan(&stock, &self.rules, Clock::Store(at(now)));
        if now < self.now {
            assert!(plan.is_err() || stock.newest().is_none(), "the clock went back");
            self.may_be_short = false;
            return 0;
        }
        let plan = plan.unwrap();
        // Where backups stop, expiry stops: a day later.
        let counted = self.newest().map_or(now, |newest| now.min(newest + DAY));
        let phases = phases(&stock, &plan, &self.pending, GRACE);
        self.check_grace(&plan, &phases, counted);
        let withdrawn = phases.withdrawn.len();
        let deletes = phases.snapshots.len() + phases.batches.len() + phases.wal.len() > 0;
        let promises = deletes.then(|| self.promises(counted, &stock));
        let stays = plan.stays.iter().map(|one| &one.id);
        let batches: Ids = plan.batches.iter().map(|one| &one.id).collect();
        let batches_stay = stock.batches().iter().map(|one| &one.id).filter(|id| !batches.contains(id));
        // A run that is killed before that leaves the tombstones of what is needed again.
        match self.carry_out(phases, now) >= Reached::Withdrawn {
            true => stays.chain(batches_stay).for_each(|id| {
                self.unneeded.remove(&number_of(id));
            }),
            false => self.may_be_short = false,
        }
        if let Some(promises) = promises {
            self.check(&promises, counted);
        }
        self.check_periods(counted);
        withdrawn
    }

    fn carry_out(&mut self, phases: Phases, now: i64) -> Reached {
        let is_killed = self.may_fail && self.dice.one_of(6);
        let reached = if is_killed { KILLED_AT[self.dice.below(6) as usize] } else { Reached::End };
        if reached >= Reached::Announced && !phases.announced.is_empty() {
            let run = self.id(SnapshotKind::Config);
            self.pending.push(Pending { run, named: phases.announced, stored_at: at(now) });
        }
        if reached >= Reached::Withdrawn {
            self.pending.retain(|one| !phases.withdrawn.contains(&one.run));
        }
        if reached >= Reached::SomeManifests {
            let all = phases.snapshots.iter().chain(&phases.batches);
            let gone: Ids = all.filter(|_| reached > Reached::SomeManifests || self.dice.one_of(2)).collect();
            self.unfinished.retain(|(id, _)| !phases.unfinished.contains(id) || reached < Reached::SomeWal);
            // Without a manifest, the rest of a folder is like a backup that was cut short.
            if reached < Reached::SomeWal {
                let items = self.items.iter().map(|item| (&item.id, item.stored_at));
                let all = items.chain(self.batches.iter().map(|batch| (&batch.id, batch.stored_at)));
                let rests = all.filter(|(id, _)| gone.contains(id));
                self.unfinished.extend(rests.map(|(id, at)| (id.clone(), at.as_second())));
            }
            self.items.retain(|item| !gone.contains(&item.id));
            self.batches.retain(|batch| !gone.contains(&batch.id));
        }
        if reached >= Reached::SomeWal {
            let key = |one: &WalItem| (one.timeline, one.begin, one.end, one.stored_at);
            let named = phases.wal.iter().filter(|_| reached == Reached::End || self.dice.one_of(2));
            let gone: HashSet<_> = named.map(key).collect();
            self.wal.items.retain(|one| !gone.contains(&key(one)));
        }
        reached
    }

    /// How many objects there are.
    pub(super) fn stored(&self) -> usize {
        self.items.len() + self.batches.len() + self.wal.items.len() + self.unfinished.len()
    }
}
