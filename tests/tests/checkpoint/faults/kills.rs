//! kill -9 of a checkpoint at each request to the store, before it is done or after: the next call makes the
//! checkpoint, or completes the one that is stored, and there is one record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lifeboat_tests::faults::{Served, on};
use lifeboat_tests::filestore::Seeded;
use rustix::process::Signal;

use super::{ALL_STEPS, cases, has_evidence, passes_once, through};
use crate::world::{TIERS, World, until};

/// Requests that change the store: a kill there counts most.
fn writes(served: &Served) -> bool {
    served.method != "GET" && served.method != "HEAD"
}

#[test]
fn a_call_that_was_killed_anywhere_is_finished_by_the_next_one() {
    let world = World::on_s3(&["shop"], TIERS, &ALL_STEPS);
    let door = world.door();
    through(&world, &door, "r0", &[]).run().ok();
    // The first call has the most to store.
    world.tenants[0].upload(&world.cluster, "new.pdf", b"before r1");
    door.faults().clear_log();
    through(&world, &door, "r1", &[]).run().ok();
    let (all, written) =
        (door.faults().log().len(), door.faults().log().iter().filter(|s| writes(s)).count());
    assert!(all > 50 && written > 10, "{all} requests, {written} of them writes");
    let mut random = Seeded::new(3);
    let (mut before, mut after) = (0, 0);
    for case in 0..cases(10) {
        let release = format!("r-{case}");
        world.tenants[0].upload(&world.cluster, "new.pdf", format!("before {release}").as_bytes());
        let pid = Arc::new(AtomicU32::new(0));
        let of = pid.clone();
        let kill = move |_: &Served| {
            until("the program is known", || of.load(Ordering::SeqCst) != 0);
            lifeboat_tests::children::signal(of.load(Ordering::SeqCst), Signal::KILL);
        };
        let (only_writes, landed) = (case % 2 == 0, random.below(2) == 0);
        // The last ones in turn: between them the checkpoint begins to exist.
        let number = match (only_writes, case % 4) {
            (true, 0) => written as u64 - (case / 4 % 4) as u64,
            (true, _) => 1 + random.below(written as u64),
            (false, _) => 1 + random.below(all as u64),
        };
        let requests = on("*", "").only(move |served| !only_writes || writes(served)).nth(number);
        let planned = door.plan(if landed { requests.land_and_call(kill) } else { requests.call(kill) });
        let running = through(&world, &door, &release, &[]).spawn();
        pid.store(running.pid(), Ordering::SeqCst);
        let outcome = running.finish();
        door.faults().clear();
        let what =
            format!("case {case}: killed at request {number}, landed: {landed}, writes: {only_writes}");
        // How often it asks for WAL differs: then nothing was to be killed.
        assert!(planned.fired() == 0 || outcome.signal == Some(9), "{what}: {outcome}");
        if planned.fired() > 0 {
            *(if has_evidence(&world, &release) { &mut after } else { &mut before }) += 1;
        }
        passes_once(&world, &release, &what);
    }
    assert!(before > 0 && after > 0, "killed before the evidence {before} times, after it {after} times");
}
