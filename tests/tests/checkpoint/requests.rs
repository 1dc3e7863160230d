//! What a checkpoint asks the store for: with many batches of files, that decides how long it takes.

use std::collections::BTreeMap;

use lifeboat_tests::faults::on;

use crate::world::{TIERS, World, found, until};

/// Batches that are made one by one: more than those that are listed one by one.
const BATCHES: usize = 9;

/// A request for each thousand objects, not for each batch; and what was read is read again only when it was
/// written again.
#[test]
fn a_second_checkpoint_reads_no_batch_again() {
    let settings = [("LIFEBOAT_CHECKPOINT_SAMPLE_FILES", "0"), ("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s")];
    let world = World::on_s3(&["shop"], TIERS, &settings);
    let s3 = world.s3.as_ref().unwrap();
    let manifests = || {
        let keys = s3.keys("site").into_iter();
        keys.filter(|key| key.contains("-arrivals-") && key.ends_with("/manifest.json")).collect::<Vec<_>>()
    };
    for number in 1..=BATCHES {
        let content = format!("file {number}");
        world.tenants[0].upload(&world.cluster, &format!("{number}.txt"), content.as_bytes());
        until("the agent stores it", || manifests().len() >= number);
    }
    world.pass("r1", &[]);
    let asked = |release: &str| {
        s3.faults().clear_log();
        let report = world.pass(release, &[]);
        let held_in = report["checkpoint"]["tenants"][0]["files"]["held_in"].as_array().unwrap().len();
        assert!(held_in >= BATCHES, "the files are in {held_in} snapshots");
        let mut requests: BTreeMap<String, usize> = BTreeMap::new();
        for served in s3.faults().log().iter().filter(|served| served.target().contains("arrivals")) {
            let last = served.path.rsplit('/').next().unwrap();
            let what = if served.query.contains("list-type") { "listing" } else { last };
            *requests.entry(format!("{} {what}", served.method)).or_default() += 1;
        }
        requests
    };
    let requests = asked("r2");
    let batches = manifests().len();
    let listings = requests["GET listing"];
    assert!(listings < batches && requests.len() == 1, "{requests:?}");

    // Written again, with the same bytes: its mark is another one, so it is read.
    let one = s3.object(&manifests()[0]);
    let bytes = std::fs::read(&one).unwrap();
    std::fs::write(&one, bytes).unwrap();
    let requests = asked("r3");
    assert_eq!((requests["GET manifest.json"], requests["GET manifest.json.sig"]), (1, 1), "{requests:?}");

    // And with others: it is not believed because it was believed before, and its files are stored again.
    std::fs::write(&one, b"{}").unwrap();
    let report = world.pass("r4", &[]);
    assert_ne!(report["checkpoint"]["tenants"][0]["files"]["stored_now"], 0, "{report}");
    // A bit of a signature that means nothing (the version, in its armor): it verifies, and yet it was
    // changed.
    let two = s3.object(&format!("{}.sig", manifests()[1]));
    let mut bytes = std::fs::read(&two).unwrap();
    bytes[43] ^= 1 << 4;
    std::fs::write(&two, bytes).unwrap();
    let verified = world.site.run(&["verify", "--json"]).run();
    assert!(!verified.stdout.contains(&manifests()[1]), "the signature verifies: {verified}");
    let report = world.pass("r5", &[]);
    assert_ne!(report["checkpoint"]["tenants"][0]["files"]["stored_now"], 0, "{report}");
}

/// What rots in the store keeps its mark: only reading finds it, and some objects are read each time.
#[test]
fn some_objects_are_read_again_by_chance() {
    let world = World::on_s3(&["shop"], TIERS, &[]);
    let s3 = world.s3.as_ref().unwrap();
    world.pass("r1", &[]);
    let sampled = |release: &str, sample: &str| {
        world.checkpoint(release, &["--json"]).env("LIFEBOAT_CHECKPOINT_SAMPLE_FILES", sample).run()
    };
    // New are only the WAL and the files since the checkpoint before.
    let read = |report: &serde_json::Value| -> u64 {
        let told = found(report, "chain");
        let (_, after) = told.split_once("signed; ").unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    };
    let new = read(&sampled("r2", "0").ok().json());
    let more = read(&sampled("r3", "3").ok().json());
    assert!(more >= 3 && more <= new + 6, "{new} without a sample, {more} with one of 3");
    s3.plan(on("GET", "-base-").only(|served| served.path.contains("/packs/")).flip(100));
    sampled("r4", "0").ok();
    let report = sampled("r4b", "1000").exits(19).json();
    assert!(found(&report, "chain").contains("are not what was signed"), "{report}");
    s3.faults().clear();
    sampled("r5", "1000").ok();
}
