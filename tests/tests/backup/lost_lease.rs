//! The lease lost in the middle of a run, to another agent or to an outage: the run stops before
//! anything more begins to exist, and says which of the two it was.

use std::time::{Duration, Instant};

use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, children, small_tenant};

use crate::archive::Archive;
use crate::both_kinds::assert_complete;

/// A lease is good for so long without being renewed.
const GOOD_FOR: Duration = Duration::from_secs(120);

fn dumps_and_filestores(site: &Site) -> usize {
    Archive::of(site).ids().iter().filter(|id| !id.as_str().contains("-globals-")).count()
}

/// Replaces the lease as another agent would whose clock is ahead.
fn steal(s3: &S3, site: &Site, prefix: &str, released: bool) {
    let options = StoreOptions {
        endpoint: Some(s3.endpoint()),
        allow_http: true,
        credentials_file: Some(site.path("s3-keys")),
        ..StoreOptions::default()
    };
    let text = format!(
        r#"{{"holder":"thief","host":"elsewhere","process":4711,"until":"2999-01-01T00:00:00Z","released":{released}}}"#
    );
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(&s3.url(prefix), &options).unwrap();
        let key = "instances/prod/lease";
        let found = store.get_versioned(key, 1 << 20).await.unwrap().unwrap();
        store.replace(key, text.into_bytes(), Some(&found.version)).await.unwrap();
    });
}

#[test]
fn a_run_that_loses_its_lease_stops_before_it_publishes() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    // two at once, because each has to wait until a lease is renewed, or runs out
    let taken = Site::s3(&cluster, &s3, "taken");
    let tenant = small_tenant(&cluster, &taken.data_dir(), "acme", 51);
    let out = Site::s3(&cluster, &s3, "out");
    let other = small_tenant(&cluster, &out.data_dir(), "beta", 52);
    cluster.psql(
        "beta",
        "create table big as select i, repeat(md5(i::text), 10) t from generate_series(1, 150000) i",
    );

    // an outage, for one agent's lease only: its slow dump is not done when the lease runs out
    let unanswered = s3.plan(on("PUT", "out/instances/prod/lease").from(2).respond(503));
    let begun = Instant::now();
    let slow = out.backup(&["--tenant", "beta"]).limit(Duration::from_secs(180));
    let mut slow = slow.env("LIFEBOAT_BACKUP_READ_BYTES_PER_SECOND_MAX", "256KiB/s").spawn();
    while s3.faults().count("PUT", "manifest.json") < 2 {
        assert!(slow.is_running(), "{}", slow.finish()); // until its globals are stored
        std::thread::sleep(children::POLL);
    }

    let in_outage = std::thread::spawn(move || (slow.finish(), begun.elapsed()));

    // a thief: the signature is on its way already, the manifest would be next
    let held = s3.plan(on("PUT", "manifest.json.sig").nth(2).delay(Duration::from_secs(110)));
    let patient = taken.backup(&["--tenant", "acme"]).env("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "2min");
    let robbed = patient.spawn();
    held.wait_fired();
    steal(&s3, &taken, "taken", false);
    let outcome = robbed.finish().exits(15).says("the lease on the instance was lost");
    assert!(outcome.stderr.contains("taken by elsewhere (process 4711)"), "{outcome}");
    assert!(outcome.took < Duration::from_secs(100), "it did not wait for the answer: {outcome}");
    assert_eq!(dumps_and_filestores(&taken), 0, "roles and tablespaces were stored before");
    taken.backup(&["--tenant", "acme"]).run().exits(15).says("is locked by elsewhere");
    steal(&s3, &taken, "taken", true);
    taken.back_up(&["--tenant", "acme"]);
    assert_complete(&Archive::of(&taken), &cluster, &tenant);

    let (outcome, ended) = in_outage.join().unwrap();
    let outcome = outcome.exits(7).says("the lease on the instance was lost");
    assert!(outcome.stderr.contains("could not be renewed in time"), "{outcome}");
    assert!(ended < GOOD_FOR, "it went on after the lease had run out: {outcome}");
    assert!(unanswered.fired() > 1);
    assert_eq!(dumps_and_filestores(&out), 0);
    s3.faults().clear();
    out.back_up(&["--tenant", "beta"]);
    assert_complete(&Archive::of(&out), &cluster, &other);
}
