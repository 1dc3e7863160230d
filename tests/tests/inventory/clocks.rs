//! A writer's clock that is years ahead, or years behind, decides nothing: not which dump is the newest, and
//! not who may write.

use std::time::{Duration, SystemTime};

use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, small_tenant};

use crate::newest;

#[test]
fn the_newest_dump_is_the_newest_whatever_the_writers_clock_said() {
    for days in [1100, -1100] {
        let cluster = Cluster::start_default();
        let site = Site::local(&cluster);
        small_tenant(&cluster, &site.data_dir(), "shop", 7);
        let back_up =
            || site.back_up(&["--tenant", "shop"])["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned();
        let dated = || {
            let run = site.backup(&["--tenant", "shop", "--json"]).off_by(&format!("{days:+}d"));
            run.run().ok().json()["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned()
        };
        // ahead: an older one seems newer; behind: the newest seems old
        let (first, last) = if days > 0 { (dated(), back_up()) } else { (back_up(), dated()) };
        assert!(first > last, "the names tell the opposite: {first}, {last}");
        for (command, said) in newest(&site, "shop") {
            assert_eq!(said, last, "{command}, {days} days");
        }
        let list = site.run(&["list"]).run();
        let status = site.run(&["status"]).run();
        if days > 0 {
            let list = list.exits(3);
            assert!(list.stdout.contains("ahead of the store's"), "{list}");
            let status = status.exits(3);
            assert!(status.stdout.contains("while their host's clock was ahead of the store's"), "{status}");
        } else {
            let list = list.ok();
            assert!(list.stdout.contains("a slow clock, or a copied repository"), "{list}");
            status.ok();
        }
    }
}

/// Replaces the lease as another agent would, with what its own clock says.
fn take(s3: &S3, site: &Site, until: &str) {
    let options = StoreOptions {
        endpoint: Some(s3.endpoint()),
        allow_http: true,
        credentials_file: Some(site.path("s3-keys")),
        ..StoreOptions::default()
    };
    let text = format!(
        r#"{{"holder":"another","host":"elsewhere","process":4711,"until":"{until}","released":false}}"#
    );
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(&s3.url("clocks"), &options).unwrap();
        let found = store.get_versioned("instances/prod/lease", 1 << 20).await.unwrap().unwrap();
        store.replace("instances/prod/lease", text.into_bytes(), Some(&found.version)).await.unwrap();
    });
}

#[test]
fn a_lease_counts_by_the_stores_clock_alone() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "clocks");
    small_tenant(&cluster, &site.data_dir(), "shop", 8);
    site.back_up(&["--tenant", "shop"]);
    for until in ["2999-01-01T00:00:00Z", "2001-01-01T00:00:00Z"] {
        take(&s3, &site, until);
        let busy = site.backup(&["--tenant", "shop"]).run().exits(15).says("is locked by elsewhere");
        assert!(!busy.stderr.contains(&until[..4]), "the store says until when: {busy}");
        // nobody has renewed it for three minutes
        let lease = std::fs::File::options().write(true).open(s3.object("clocks/instances/prod/lease"));
        lease.unwrap().set_modified(SystemTime::now() - Duration::from_secs(180)).unwrap();
        site.back_up(&["--tenant", "shop"]);
    }
    // A reader's own clock takes no lease away either. (S3 refuses requests that are 15 minutes off.)
    take(&s3, &site, "2001-01-01T00:00:00Z");
    site.backup(&["--tenant", "shop"]).off_by("+10m").run().exits(15).says("is locked by elsewhere");
    let doctor = site.run(&["doctor"]).off_by("+10m").run();
    assert!(doctor.stdout.contains("ahead of the store's, which says"), "{doctor}");
    // Refused, and told why.
    let doctor = site.run(&["doctor"]).off_by("+1100d").run().exits(3);
    assert!(doctor.stdout.contains("ahead of the store's, which says"), "{doctor}");
}
