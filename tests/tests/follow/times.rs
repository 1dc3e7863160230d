//! Two hundred random times under load, with uploads, deletions and collections: what rows named then
//! is in the repository; and some of these times, or all of them, recovered for real.
//!
//! `TEST_TIMES=200` recovers as many (3 otherwise), `TEST_LOAD_SECONDS=60` loads for so long (15),
//! `TEST_SEED=…` repeats a run.

use std::collections::BTreeSet;

use lifeboat_tests::filestore::Seeded;

use crate::load::{Load, Truth};
use crate::world::{Repo, World, end};

pub const TIMES: usize = 200;

pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

/// Every name of two hundred random times is held.
#[track_caller]
pub fn assert_held(held: &BTreeSet<String>, truths: &[Truth], random: &mut Seeded) {
    for truth in truths {
        for _ in 0..TIMES {
            let time = truth.random_time(random);
            let lacking: Vec<_> = truth.at(time).0.difference(held).collect();
            assert!(lacking.is_empty(), "{} at {time}: not stored: {lacking:?}", truth.tenant);
        }
    }
}

#[test]
fn at_any_time_every_file_that_rows_name_is_there() {
    let seed = number("TEST_SEED", 20_261_121);
    println!("seed {seed}");
    let world = World::start(2);
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "2s"));
    world.back_up("base");
    let load = Load { seconds: number("TEST_LOAD_SECONDS", 15), seed, collect: true };
    let truths = load.run(&world, || world.back_up("filestore"));
    let ever: BTreeSet<String> = truths.iter().flat_map(Truth::ever).collect();
    let gone = world.tenants.iter().flat_map(|tenant| tenant.filestore().files().into_keys());
    let gone = ever.len() - gone.collect::<BTreeSet<_>>().intersection(&ever).count();
    assert!(gone > 5, "only {gone} of {} files were collected: the load does nothing", ever.len());
    world.wait_held(&ever);
    world.wait_wal();

    let mut random = Seeded::new(seed);
    assert_held(&Repo::of(&world.site).held(), &truths, &mut random);
    for n in 0..number("TEST_TIMES", 3) {
        let truth = &truths[n as usize % truths.len()];
        let time = truth.random_time(&mut random);
        let names = world.recovered(&truth.tenant, &time.to_string(), "recovered");
        let (now, next) = truth.at(time);
        assert!(names == *now || names == *next, "{} at {time}: other rows than there were", truth.tenant);
        world.cluster.psql("postgres", "drop database recovered");
        std::fs::remove_dir_all(world.site.data_dir().join("filestore/recovered")).unwrap();
    }
    end(agent);
}
