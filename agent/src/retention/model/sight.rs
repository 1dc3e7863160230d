//! What one run of expire sees of a made-up site: now and then something cannot be read, is damaged, or is
//! left out of a listing.

use std::collections::BTreeSet;

use super::dice::Dice;
use super::periods::at;
use super::present::{Ids, number_of};
use super::world::World;
use crate::archive::manifest::SnapshotKind;
use crate::names::wal::TimelineId;
use crate::retention::stock::{Dropped, Item, Known, Stock, WalStock};

/// What a listing leaves out: nothing most of the time; never twice in a row, and never just after a class or
/// a hold was changed. (What is needed again only since it was announced has nothing else to protect it.)
struct Listing {
    is_short: bool,
}

impl Listing {
    fn shows(&self, dice: &mut Dice) -> bool {
        !self.is_short || !dice.one_of(6)
    }
}

impl World {
    pub(super) fn stock(&mut self) -> Stock {
        let listing = Listing { is_short: self.may_be_short && self.dice.one_of(6) };
        self.may_be_short = self.may_fail && !listing.is_short;
        // Whatever cannot be read now may not be readable the next time, either.
        if self.dice.one_of(2) {
            self.sight = self.dice.next();
        }
        let mut eye = Dice(self.sight);
        let blind = self.may_fail && eye.one_of(4);
        let unknown: [Option<String>; 6] =
            [(); 6].map(|()| (blind && eye.one_of(4)).then(|| "refused".to_owned()));
        let dice = &mut self.dice;
        let (mut items, mut unread, mut not_believed) = (Vec::new(), Vec::new(), Vec::new());
        let mut shown: Ids = self.items.iter().map(|item| &item.id).filter(|_| listing.shows(dice)).collect();
        // What another one names is asked for by name.
        for item in self.items.iter().rev() {
            if shown.contains(&item.id) {
                item.needs.iter().for_each(|id| shown.insert(id));
            }
        }
        for item in self.items.iter().filter(|item| shown.contains(&item.id)) {
            let mut eye = Dice(self.sight ^ number_of(&item.id) as u64);
            match (blind && eye.one_of(8), eye.one_of(3)) {
                (true, false) => unread.push((item.id.clone(), "refused".to_owned())),
                // Damaged, and repaired later.
                (true, true) => not_believed.push((item.id.clone(), "another digest".to_owned())),
                (false, _) => items.push(item.clone()),
            }
        }
        set_whole(&mut items, &unread.iter().chain(&not_believed).map(|(id, _)| id).collect());
        let mut batches = self.batches.clone();
        batches.retain(|_| listing.shows(dice));
        let mut wal = self.wal.clone();
        wal.items.retain(|_| listing.shows(dice));
        let mut unfinished = self.unfinished.clone();
        unfinished.retain(|_| listing.shows(dice));
        if blind && eye.one_of(4) {
            forget_an_origin(&mut wal, dice);
        }
        let [unknown_batches, unknown_wal, releases, holds, suspicions, tenants] = unknown;
        fn known<T>(why: Option<String>, all: T) -> Known<T> {
            why.map_or(Known::All(all), Known::Unknown)
        }
        Stock {
            batches: known(unknown_batches, batches),
            wal: known(unknown_wal, wal),
            releases: known(releases, self.releases.clone()),
            holds: known(holds, self.holds.clone()),
            suspicions: known(suspicions, self.suspicions.clone()),
            tenants: known(tenants, self.tenants.iter().cloned().collect()),
            not_removed: Vec::new(),
            garbage: Default::default(),
            dropped: Dropped { looks: Known::All(Vec::new()), named: BTreeSet::new() },
            unfinished: unfinished.into_iter().map(|(id, newest)| (id, Some(at(newest)))).collect(),
            items,
            unread,
            not_believed,
        }
    }
}

/// Whether all that each needs was read, or may be there.
fn set_whole(items: &mut [Item], there: &Ids) {
    let read: Ids = items.iter().map(|item| &item.id).collect();
    for item in items {
        // Batches are not asked.
        let needs = || item.needs.iter().filter(|id| id.kind() != SnapshotKind::Arrivals.as_str());
        item.whole = needs().all(|id| read.contains(id));
        item.may_be_whole = needs().all(|id| read.contains(id) || there.contains(id));
    }
}

/// The history of a timeline cannot be read.
fn forget_an_origin(wal: &mut WalStock, dice: &mut Dice) {
    let known: Vec<TimelineId> = wal.histories.keys().copied().collect();
    if !known.is_empty() {
        let timeline = known[dice.below(known.len() as u64) as usize];
        wal.histories.remove(&timeline);
        wal.unknown.insert(timeline);
    }
}
