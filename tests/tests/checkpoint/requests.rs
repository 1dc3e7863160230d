//! What a checkpoint asks the store for: with many batches of files, that decides how long it takes.

use std::collections::BTreeMap;

use crate::world::{TIERS, World, until};

/// Batches that are made one by one.
const BATCHES: usize = 5;

/// The number of requests grows with the batches: three for each. Content is not counted: this server's
/// listings have no entity tags, so it is read each time.
#[test]
fn a_second_checkpoint_reads_each_batchs_manifest_and_signature_once() {
    let world = World::on_s3(&["shop"], TIERS, &[]);
    let s3 = world.s3.as_ref().unwrap();
    let batches = || {
        let keys = s3.keys("site");
        keys.iter().filter(|key| key.contains("-arrivals-") && key.ends_with("/manifest.json")).count()
    };
    for number in 1..=BATCHES {
        let content = format!("file {number}");
        world.tenants[0].upload(&world.cluster, &format!("{number}.txt"), content.as_bytes());
        until("the agent stores it", || batches() >= number);
    }
    world.pass("r1", &[]);
    s3.faults().clear_log();
    let report = world.pass("r2", &[]);
    let held_in = report["checkpoint"]["tenants"][0]["files"]["held_in"].as_array().unwrap().len();
    assert!(held_in >= BATCHES, "the files are in {held_in} snapshots");
    let mut requests: BTreeMap<String, usize> = BTreeMap::new();
    for served in s3.faults().log().iter().filter(|served| served.target().contains("-arrivals-")) {
        let last = served.path.rsplit('/').next().unwrap();
        let what = if served.query.contains("list-type") { "listing" } else { last };
        *requests.entry(format!("{} {what}", served.method)).or_default() += 1;
    }
    println!("{requests:?}");
    for what in ["GET manifest.json", "GET manifest.json.sig", "GET listing"] {
        assert_eq!(requests[what], batches(), "{what}: {requests:?}");
    }
    assert!(!requests.keys().any(|what| what.starts_with("HEAD")), "{requests:?}");
}
