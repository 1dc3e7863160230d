//! Made-up histories of a site: what it stores (`world.rs`, `site.rs`, `holds.rs`), and runs of expire, which
//! see it with gaps (`sight.rs`), under wrong clocks, and may be killed (`run.rs`). After each run,
//! everything that could be restored before it, and that the rules promise, can be restored. What is promised
//! and what can be restored is judged (`states.rs`, `judge.rs`, `periods.rs`) by other means than the plan's
//! own.
//!
//! `TEST_TIMES=1000000 cargo test --release -p lifeboat --lib retention::model` runs a million of them.

mod dice;
mod holds;
mod judge;
mod periods;
mod present;
mod run;
mod sight;
mod site;
mod states;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use super::hold::Held;
use crate::archive::manifest::SnapshotKind;
use crate::clock;
use crate::names::SnapshotId;
use periods::{HOUR, at};
use present::{SEGMENT, Segments};
use world::{DAY, World};

/// Histories of a run that nobody asks for more of.
const TIMES: u64 = 1_000;
/// What stays after years for good: for each tenant two dumps with filestores, two base backups with their
/// chains, roles, configuration, the last WAL.
const MUST_STAY: usize = 40;

impl World {
    fn step(&mut self) {
        let hours = 1 + self.dice.below(20);
        self.pass(hours);
        let tenant = self.dice.below(2) as usize;
        match self.dice.below(21) {
            0..5 => _ = self.dump(tenant),
            5..7 => _ = self.filestore(tenant),
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
            17 => self.suspicious(),
            18..21 => _ = self.expire(),
            _ => {}
        }
    }
}

/// An instance may have dumps alone.
#[test]
fn a_held_span_keeps_its_dumps() {
    let mut world = World::new(1);
    world.may_fail = false;
    world.choose_rules();
    let (begun, mut dumps) = (world.now, Vec::new());
    for _ in 0..8 {
        world.dump(0);
        dumps.extend(
            world.items.iter().rfind(|item| item.kind == SnapshotKind::Dump).map(|one| one.id.clone()),
        );
        world.now += 5 * DAY;
    }
    world.add_hold("h".to_owned(), Held::Span(at(begun + 7 * DAY), at(begun + 13 * DAY)));
    world.now += 8 * 366 * DAY;
    assert!(world.dump(0) && world.dump(0));
    for _ in 0..2 {
        world.expire();
        world.now += 7 * HOUR;
    }
    let stays = |id: &SnapshotId| world.items.iter().any(|item| item.id == *id);
    assert!(stays(&dumps[1]) && stays(&dumps[2]), "the last one before the span, and the one in it");
    assert!(!stays(&dumps[4]) && !stays(&dumps[5]));
}

/// A release that is held when its own base backup has gone already: an older one still leads to it.
#[test]
fn a_release_whose_base_backup_is_gone_keeps_an_older_one() {
    let mut world = World::new(1);
    world.may_fail = false;
    world.choose_rules();
    for rule in world.rules.tenants.values_mut().chain(&mut world.rules.instance) {
        rule.periods.values_mut().for_each(|count| *count = 0);
    }
    let base = |world: &mut World| {
        world.pass(5);
        world.base();
        let full = world.items.last_mut().unwrap();
        full.needs = [full.id.clone()].into();
        full.id.clone()
    };
    let (first, own) = (base(&mut world), base(&mut world));
    world.pass(5);
    world.release();
    let (timeline, lsn) = world.releases[0].point.unwrap();
    world.items.retain(|item| item.id != own);
    world.add_hold("h".to_owned(), Held::Release(world.releases[0].release.clone()));
    world.now += 8 * 366 * DAY;
    for _ in 0..2 {
        base(&mut world);
        world.now += 30 * DAY;
    }
    base(&mut world);
    for _ in 0..3 {
        world.expire();
        world.now += 7 * HOUR;
    }
    let first = world.items.iter().find(|item| item.id == first).expect("it leads to the release");
    let start = first.base.unwrap().start.0 / SEGMENT;
    let stored = Segments::of(&world.wal.items);
    assert!(stored.contain(timeline.0, start, lsn.0 / SEGMENT), "and the WAL between");
}

fn times() -> u64 {
    std::env::var("TEST_TIMES").map_or(TIMES, |text| text.parse().unwrap())
}

#[test]
fn what_is_promised_stays_and_the_rest_goes() {
    let first: u64 = std::env::var("TEST_SEED").map_or(0, |text| text.parse().unwrap());
    let (end, begun, next) = (first + times(), clock::instant(), AtomicU64::new(first));
    let work = || {
        let (mut may_go, mut gone) = (0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return (may_go, gone);
            }
            let told = std::panic::catch_unwind(|| history(seed));
            let (may, did) = told.unwrap_or_else(|_| panic!("TEST_SEED={seed} TEST_TIMES=1 shows it"));
            may_go += may;
            gone += did;
        }
    };
    let sums: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|one| one.join().expect("a promise was broken: see above")).collect()
    });
    let (may_go, gone) = sums.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let share = gone as f64 / may_go as f64;
    let speed = times() as f64 / begun.elapsed().as_secs_f64();
    println!("{} histories, {speed:.0} a second; {:.2} % of what may go went", times(), share * 100.0);
    assert!(share >= 0.95, "{gone} of {may_go} went: {share}");
}

/// A history; then years later, with a backup of everything, what may go and what went.
fn history(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    let steps = 20 + world.dice.below(25);
    for _ in 0..steps {
        world.step();
    }
    world.may_fail = false;
    world.choose_rules();
    // What a run announces, a later one deletes, where nothing changed meanwhile.
    world.expire();
    let is_deleting = |world: &mut World| {
        world.now += 7 * HOUR;
        world.expire() == 0
    };
    assert!((0..4).any(|_| is_deleting(&mut world)), "each run withdraws what the one before announced");
    world.holds.clear();
    world.suspicions.clear();
    world.now += 8 * 366 * DAY;
    // Two of each: the window begins with the first.
    for _ in 0..2 {
        world.pass(1);
        assert!(world.dump(0) && world.dump(1));
        world.base();
        world.now += 10 * DAY;
    }
    world.log.push((world.now, world.timeline, world.lsn));
    world.write_wal();
    // The newest checkpoint stays, with what it takes to go back to it: the next one ends that.
    world.release();
    let all = world.stored();
    world.expire();
    world.now += 7 * HOUR;
    world.expire();
    let left = world.stored();
    (all.saturating_sub(MUST_STAY), all.saturating_sub(left.max(MUST_STAY)))
}
