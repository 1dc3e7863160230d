//! Made-up histories of a site (`world.rs`), and what was promised in them: after each expiry, everything
//! that could be restored before it, and that the rules promise, can be restored after it. What can be
//! restored is judged (`judge.rs`) by other means than the plan's own.
//!
//! `TEST_TIMES=1000000 cargo test --release -p lifeboat --lib retention::model` runs a million of them.

mod judge;
mod periods;
mod world;

use std::collections::HashSet;

use super::hold::{Held, Hold};
use super::phases::{Pending, phases};
use super::plan::{Clock, plan};
use super::stock::WalItem;
use crate::archive::manifest::SnapshotKind;
use crate::names::SnapshotId;
use periods::{HOUR, at};
use world::{DAY, GRACE, World};

/// Histories of a run that nobody asks for more of.
const TIMES: u64 = 250;

impl World {
    fn expire(&mut self) {
        let stock = self.stock();
        let plan = plan(&stock, &self.rules, Clock::Store(at(self.now))).unwrap();
        let phases = phases(&stock, &plan, &self.pending, GRACE);
        self.check_grace(&stock, &plan, &phases);
        let before = self.restorable();
        let gone: HashSet<&SnapshotId> = phases.snapshots.iter().chain(&phases.batches).collect();
        self.items.retain(|item| !gone.contains(&item.id));
        self.batches.retain(|batch| !gone.contains(&batch.id));
        self.unfinished.retain(|(id, _)| !phases.unfinished.contains(id));
        let key = |one: &WalItem| (one.timeline, one.begin, one.end, one.stored_at);
        let wal: HashSet<_> = phases.wal.iter().map(key).collect();
        self.wal.items.retain(|one| !wal.contains(&key(one)));
        self.pending.retain(|one| !phases.withdrawn.contains(&one.run));
        if !phases.announced.is_empty() {
            let run = self.id(SnapshotKind::Config);
            self.pending.push(Pending { run, named: phases.announced, stored_at: at(self.now) });
        }
        let after = self.restorable();
        for point in &before {
            assert!(after.contains(point), "lost: {point:?}\n{plan:#?}");
        }
        self.check_periods();
    }

    fn step(&mut self) {
        let hours = 1 + self.dice.below(20);
        self.pass(hours);
        match self.dice.below(20) {
            0..5 => {
                let tenant = self.dice.below(2) as usize;
                self.dump(tenant);
            }
            5..7 => {
                let tenant = self.dice.below(2) as usize;
                drop(self.filestore(tenant));
            }
            7..11 => self.base(),
            11 => self.switch(),
            12 => self.release(),
            13 => self.hold(),
            14 => {
                let id = self.id(SnapshotKind::Base);
                self.unfinished.push((id, self.now));
            }
            15 if self.dice.one_of(3) => self.choose_rules(),
            16 if self.dice.one_of(4) => self.pass(500), // nobody runs backups
            17..20 => self.expire(),
            _ => {}
        }
    }
}

/// An instance may have dumps alone.
#[test]
fn a_held_span_keeps_its_dumps() {
    let mut world = World::new(1);
    world.may_be_blind = false;
    let (begun, mut dumps) = (world.now, Vec::new());
    for _ in 0..8 {
        world.dump(0);
        dumps.extend(
            world.items.iter().rfind(|item| item.kind == SnapshotKind::Dump).map(|one| one.id.clone()),
        );
        world.now += 5 * DAY;
    }
    let held = Held::Span(at(begun + 7 * DAY), at(begun + 13 * DAY));
    let (reason, by) = ("case 7".to_owned(), "counsel".to_owned());
    world.holds.push(Hold { name: "h".to_owned(), held, reason, by, since: at(world.now), removed: None });
    world.now += 8 * 366 * DAY;
    (0..2).for_each(|_| world.dump(0));
    for _ in 0..2 {
        world.expire();
        world.now += 7 * HOUR;
    }
    let stays = |id: &SnapshotId| world.items.iter().any(|item| item.id == *id);
    assert!(stays(&dumps[1]) && stays(&dumps[2]), "the last one before the span, and the one in it");
    assert!(!stays(&dumps[4]) && !stays(&dumps[5]));
}

fn times() -> u64 {
    std::env::var("TEST_TIMES").map_or(TIMES, |text| text.parse().unwrap())
}

#[test]
fn what_is_promised_stays_and_the_rest_goes() {
    let first: u64 = std::env::var("TEST_SEED").map_or(0, |text| text.parse().unwrap());
    let (mut may_go, mut gone) = (0, 0);
    for seed in first..first + times() {
        let told = std::panic::catch_unwind(|| history(seed));
        let (may, did) = told.unwrap_or_else(|_| panic!("TEST_SEED={seed} TEST_TIMES=1 shows it"));
        may_go += may;
        gone += did;
    }
    let share = gone as f64 / may_go as f64;
    assert!(share >= 0.95, "{gone} of {may_go} went: {share}");
}

/// A history; then years later, with a backup of everything, what may go and what went.
fn history(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    let steps = 20 + world.dice.below(25);
    for _ in 0..steps {
        world.step();
    }
    world.holds.clear();
    world.now += 8 * 366 * DAY;
    // Two of each: the window begins with the first.
    for _ in 0..2 {
        world.pass(1);
        (0..2).for_each(|tenant| world.dump(tenant));
        world.base();
        world.now += 10 * DAY;
    }
    world.log.push((world.now, world.timeline, world.lsn));
    world.write_wal();
    // The newest checkpoint stays, with what it takes to go back to it: the next one ends that.
    world.release();
    world.may_be_blind = false;
    let all = world.items.len() + world.batches.len() + world.wal.items.len();
    world.expire();
    world.now += 7 * HOUR;
    world.expire();
    let left = world.items.len() + world.batches.len() + world.wal.items.len();
    // For each tenant two dumps with filestores, two base backups with their chains, roles, the last WAL.
    let must_stay = 40;
    (all.saturating_sub(must_stay), all.saturating_sub(left.max(must_stay)))
}
