//! `[cold.NAME]`: dumps that are the first of a period go to another storage class. The server enforces
//! classes: what is archived cannot be read before it was requested.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Ministack, Program, small_tenant};

use super::versions::in_hours;
use super::{PART_BYTES, bucket, open};

/// The storage class of each object.
fn classes(server: &Ministack, prefix: &str) -> BTreeMap<String, String> {
    let answer = server.expect("GET", &format!("?versions&prefix={prefix}"), &[], "");
    let field = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    answer.split("<Version>").skip(1).map(|one| (field(one, "Key"), field(one, "StorageClass"))).collect()
}

/// A site that keeps the first dump of each day in this class.
fn site(cluster: &Cluster, server: &Ministack, cold: &str) -> Site {
    let site = Site::s3(cluster, server.s3(), "p");
    let text = std::fs::read_to_string(site.config()).unwrap();
    let class =
        "[class.all]\ntenants = ['*']\nrto = '4h'\nwindow = '1h'\ndaily = 3\nweekly = 0\nmonthly = 0\n";
    // Due within the hour: one by hand is not cold.
    let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
    let text = text.replace("[schedule]\n", &format!("[schedule]\nbackup = '0 {hour} * * *'\n"));
    let text = text.replace("[rates]\n", "[rates]\ngb_month = '0.023'\n");
    std::fs::write(site.config(), format!("{text}\n{class}[cold.daily]\n{cold}")).unwrap();
    site
}

fn restore(site: &Site) -> Program {
    let restore = ["restore", "--tenant", "shop", "--as", "again", "--yes"];
    site.run(&restore).args(["--identity", "lifeboat-identity.txt"])
}

#[test]
fn the_first_dump_of_a_day_goes_to_its_class_and_all_else_stays() {
    let server = bucket!();
    let cluster = Cluster::start_default();
    let prices = "storage_class = 'GLACIER_IR'\ngb_month = '0.004'\nretrieval_gb = '100'\n";
    let site = site(&cluster, &server, prices);
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.backup(&[]).run().ok();
    let all = classes(&server, "p/instances/");
    let is_cold = |key: &str| key.contains("-dump-") && key.contains("/packs/");
    assert!(
        all.keys().any(|key| is_cold(key)) && all.keys().any(|key| key.contains("-filestore-")),
        "{all:?}"
    );
    for (key, class) in &all {
        assert_eq!(class, if is_cold(key) { "GLACIER_IR" } else { "STANDARD" }, "{key}");
    }
    // The plan says where it is, and what reading it costs.
    let plan = site.run(&["expire", "--dry-run"]).run().ok();
    assert!(plan.stdout.contains(", in GLACIER_IR, ") && plan.stdout.contains(" USD to read"), "{plan}");
    let json = site.run(&["expire", "--dry-run", "--json"]).run().ok().json();
    let (cold, costs) = (json["cold"].as_object().unwrap(), &json["costs"]["classes"]["all"]);
    let (id, read) = cold.iter().next().unwrap();
    assert!(cold.len() == 1 && id.contains("-dump-") && read["storage_class"] == "GLACIER_IR", "{json}");
    let stays = json["plan"]["stays"].as_array().unwrap();
    let bytes = |of: &str| -> f64 {
        stays
            .iter()
            .filter(|one| one["id"].as_str().unwrap().contains(of))
            .map(|one| one["bytes"].as_f64().unwrap())
            .sum()
    };
    let expected = bytes("-dump-") / 1e9 * 0.004 + bytes("-filestore-") / 1e9 * 0.023;
    assert!((costs["after_month"].as_f64().unwrap() - expected).abs() < 1e-12, "{costs}");
    // It can be read at once.
    restore(&site).run().ok();
    // What a release may be taken back to is wanted soon.
    let before = classes(&server, "p/instances/");
    site.backup(&["--release", "2026.11.29"]).run().ok();
    let after = classes(&server, "p/instances/");
    let of_release: Vec<_> =
        after.iter().filter(|(key, _)| !before.contains_key(*key) && is_cold(key)).collect();
    assert!(
        !of_release.is_empty() && of_release.iter().all(|(_, class)| *class == "STANDARD"),
        "{of_release:?}"
    );
}

#[test]
fn what_is_archived_says_how_it_can_be_read_and_is_restored_after_that() {
    let server = bucket!();
    let cluster = Cluster::start_default();
    let site = site(&cluster, &server, "storage_class = 'DEEP_ARCHIVE'\nready_after = '12h'\n");
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.backup(&[]).run().ok();
    let policy = site.run(&["policy", "check"]).run();
    assert!(policy.stdout.contains("dump is in DEEP_ARCHIVE and can be read only 12h after"), "{policy}");
    // Nothing is damaged, and what was not read is named.
    let verify = site.run(&["verify"]).run().ok();
    assert!(verify.stdout.contains("its packs are in storage class DEEP_ARCHIVE"), "{verify}");
    // One that is gone is missed, by a full check and a quick one.
    let packs = || -> Vec<String> {
        let all = classes(&server, "p/instances/").into_iter();
        all.filter(|(_, class)| class == "DEEP_ARCHIVE").map(|(key, _)| key).collect()
    };
    server.expect("DELETE", &format!("/{}", packs()[0]), &[], "");
    for check in [&["verify"][..], &["verify", "--quick"]] {
        let said = site.run(check).run().exits(10);
        assert!(said.stdout.contains("it is missing"), "{said}");
    }
    let markers = server.expect("GET", "?versions&prefix=p/instances/", &[], "");
    let marker = markers.split("<DeleteMarker>").nth(1).unwrap();
    let marker = marker.split_once("<VersionId>").unwrap().1.split_once('<').unwrap().0;
    server.expect("DELETE", &format!("/{}?versionId={marker}", packs()[0]), &[], "");
    site.run(&["verify"]).run().ok();
    let refused = restore(&site).run();
    assert!(refused.code == Some(7), "{refused}");
    refused.says("its storage class is not online");
    // A person requests it, and it takes a while.
    let packs = packs();
    let body = "<RestoreRequest><Days>1</Days></RestoreRequest>";
    for key in &packs {
        let (status, answer) = server.ask("POST", &format!("/{key}?restore"), &[], body);
        assert_eq!(status, 202, "{answer}");
    }
    let until = Instant::now() + Duration::from_secs(60);
    let is_ready = |key: &String| server.ask("GET", &format!("/{key}"), &[], "").0 == 200;
    while !packs.iter().all(is_ready) {
        assert!(Instant::now() < until, "the server does not bring it back");
        std::thread::sleep(Duration::from_millis(100));
    }
    restore(&site).run().ok().says("the dump is in storage class DEEP_ARCHIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_small_objects_get_the_class_with_a_lock_and_without() {
    let server = bucket!();
    let lock =
        lifeboat::store::versions::Lock { mode: lifeboat::config::LockMode::Governance, until: in_hours(24) };
    let plain = open(&server);
    for (name, store) in [("plain", plain.clone()), ("locked", plain.locked(lock))] {
        let store = store.in_class(Some("STANDARD_IA"));
        store.put_new(&format!("{name}/small"), "data").await.unwrap();
        let mut upload = store.upload(&format!("{name}/large")).await.unwrap();
        for _ in 0..2 {
            upload.write(Bytes::from(vec![7; PART_BYTES])).await.unwrap();
        }
        upload.finish().await.unwrap();
    }
    let found = classes(&server, "p/");
    assert!(found.len() == 4 && found.values().all(|class| class == "STANDARD_IA"), "{found:?}");
}
