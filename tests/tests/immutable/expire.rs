//! `lifeboat expire` makes locks longer where that is due, and names those that it cannot.

use jiff::{SignedDuration, Timestamp};
use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Ministack, Outcome, small_tenant};
use serde_json::Value;

use super::backup::{locked_until, site, stored};
use super::bucket;

fn expire(site: &Site) -> Outcome {
    site.run(&["expire", "--yes", "--json"]).run()
}

/// A site with one backup whose dump is held; the ID of the dump.
fn held(cluster: &Cluster, server: &Ministack) -> (Site, String) {
    let site = site(cluster, server);
    small_tenant(cluster, &site.data_dir(), "shop", 5);
    let dump = site.back_up(&[])["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned();
    // It was stored before locks were turned on.
    let first = expire(&site).exits(3).json();
    assert_eq!(first["locks"]["too_short_keys"], serde_json::json!(["lifeboat.json"]), "{first}");
    site.run(&["hold", "add", "case", "--snapshot", &dump, "--reason", "audit", "--by", "anna"]).run().ok();
    server.s3().faults().clear_log();
    (site, dump)
}

/// Days from now until the lock of an object ends; none where it has no lock.
fn days(server: &Ministack, key: &str) -> Option<f64> {
    let all = stored(server, key);
    let until: Timestamp = locked_until(server, &all[0].0, &all[0].1)?.parse().unwrap();
    Some(until.duration_since(Timestamp::now()).as_secs_f64() / 86_400.0)
}

fn objects(server: &Ministack, id: &str) -> Vec<String> {
    stored(server, &format!("p/instances/prod/snapshots/{id}/")).into_iter().map(|(key, _)| key).collect()
}

#[test]
fn what_is_held_is_locked_for_longer_and_only_once() {
    let server = bucket!();
    let cluster = Cluster::start_default();
    let (site, dump) = held(&cluster, &server);
    let keys = objects(&server, &dump);
    assert!(keys.len() >= 5 && keys.iter().all(|key| days(&server, key).unwrap() < 4.0));
    let done: Value = expire(&site).ok().json();
    assert!(done["locks"]["extended"].as_u64().unwrap() >= keys.len() as u64, "{done}");
    assert_eq!((&done["locks"]["failed"], &done["locks"]["too_short"]), (&0.into(), &0.into()));
    for key in &keys {
        let days = days(&server, key).unwrap();
        assert!((13.5..14.5).contains(&days), "{key}: {days}");
    }
    // What makes the place a repository, and the hold itself.
    for key in ["p/lifeboat.json", "p/instances/prod/instance.json", "p/instances/prod/holds/case/hold.json"]
    {
        assert!(days(&server, key).unwrap() > 13.5, "{key}");
    }
    server.s3().faults().clear_log();
    let again: Value = expire(&site).ok().json();
    assert_eq!(
        (&again["locks"]["extended"], &again["locks"]["checked"]),
        (&0.into(), &done["locks"]["checked"])
    );
    assert_eq!(server.s3().faults().count("PUT", "retention"), 0);
}

#[test]
fn one_object_that_cannot_be_locked_stops_no_other_and_is_named() {
    let server = bucket!();
    let cluster = Cluster::start_default();
    let (site, dump) = held(&cluster, &server);
    let refused = format!("{dump}/packs/000000.tar.zst.age?retention");
    server.s3().plan(on("PUT", &refused).respond(403));
    // Others are throttled, and then done.
    let slow = server.s3().plan(on("PUT", "manifest.json?retention").first(2).respond(503));
    let outcome = expire(&site).exits(3);
    let done = outcome.json();
    assert_eq!(done["locks"]["failed"], 1, "{done}");
    let failure = &done["locks"]["failures"][0];
    assert!(failure["key"].as_str().unwrap().ends_with("packs/000000.tar.zst.age"), "{failure}");
    assert!(outcome.stderr.contains("NOT LOCKED LONG ENOUGH: "), "{outcome:?}");
    assert_eq!(slow.fired(), 2);
    for key in objects(&server, &dump) {
        let is_long = days(&server, &key).unwrap() > 13.5;
        assert_eq!(is_long, !key.ends_with("packs/000000.tar.zst.age"), "{key}");
    }
    // The next run does what is left.
    server.s3().faults().clear();
    let done = expire(&site).ok().json();
    assert_eq!(done["locks"]["extended"], 1, "{done}");
}

#[test]
fn a_lock_that_somebody_took_away_is_reported_and_set_again() {
    let server = bucket!();
    let cluster = Cluster::start_default();
    let (site, dump) = held(&cluster, &server);
    expire(&site).ok();
    let (key, id) = stored(&server, &format!("p/instances/prod/snapshots/{dump}/index")).remove(0);
    let soon = Timestamp::now() + SignedDuration::from_secs(120);
    let lock = format!(
        "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>",
        soon.strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    let bypass = [("x-amz-bypass-governance-retention", "true")];
    server.expect("PUT", &format!("/{key}?retention&versionId={id}"), &bypass, &lock);
    let outcome = expire(&site).exits(3);
    let done = outcome.json();
    assert_eq!((&done["locks"]["too_short"], &done["locks"]["extended"]), (&1.into(), &1.into()), "{done}");
    assert!(done["locks"]["too_short_keys"][0].as_str().unwrap().ends_with("index.zst.age"), "{done}");
    assert!(outcome.stderr.contains("WAS LOCKED TOO SHORT: "), "{outcome:?}");
    let record = std::fs::read_to_string(site.path("lifeboat-state/prod/last-expire.json")).unwrap();
    assert!(record.contains(r#""too_short":1,"failed":0"#), "{record}");
    assert!(days(&server, &key).unwrap() > 13.5);
    expire(&site).ok();
}

#[test]
fn the_plan_says_what_is_locked_although_nobody_needs_it() {
    let server = bucket!();
    let cluster = Cluster::start_default();
    let (site, dump) = held(&cluster, &server);
    expire(&site).ok();
    site.back_up(&[]);
    site.run(&["hold", "remove", "case", "--reason", "closed", "--by", "anna"]).run().ok();
    // Five days later nobody needs it, but it was locked for fourteen.
    let then =
        (Timestamp::now() + SignedDuration::from_secs(5 * 86_400)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let plan = |more: &[&str]| {
        let args = [&["expire", "--dry-run", "--as-of", &then], more].concat();
        site.run(&args).run().ok()
    };
    let shown = plan(&["--json"]).json();
    let goes: Vec<_> = shown["plan"]["snapshots"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert!(goes.contains(&&Value::from(dump.as_str())), "{shown}");
    let until: Timestamp = shown["locked_until"][&dump].as_str().unwrap().parse().unwrap();
    assert!(until.duration_since(Timestamp::now()) > SignedDuration::from_secs(13 * 86_400));
    let text = plan(&[]).stdout;
    assert!(text.contains(", locked until 2") && text.contains("becomes free as the locks end"), "{text}");
}
