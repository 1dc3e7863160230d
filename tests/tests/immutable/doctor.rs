//! `lifeboat doctor` tries what a thief would: each answer of the store is told, and a missing right is no
//! answer.

use std::sync::Arc;

use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Ministack, skip, small_tenant};
use serde_json::Value;

use super::backup::{locked_until, shop, stored};
use super::bucket;

/// The checks by name: status and text.
fn checks(site: &Site, code: i32) -> impl Fn(&str) -> (String, String) + use<> {
    let report: Value = site.run(&["doctor", "--json"]).run().exits(code).json();
    move |name| {
        let all = report["checks"].as_array().unwrap();
        let found =
            all.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"));
        let text = |field: &str| found[field].as_str().unwrap().to_owned();
        (text("status"), text("text"))
    }
}

#[test]
fn doctor_proves_that_a_lock_holds() {
    let server = bucket!();
    let (_cluster, site) = shop(&server, 1);
    let check = checks(&site, 0);
    for (name, status, text) in [
        ("versions", "ok", "keeps what is overwritten"),
        ("object lock", "ok", "by default: none; repository.lock: governance"),
        ("encryption", "ok", "AES256"),
        ("access log", "warn", "nobody would see"),
        ("public access", "warn", "it is not known whether it is public"),
        ("overwritten", "ok", "its old version can still be read"),
        ("lock shortened", "ok", "longer, but not shorter"),
        ("lock deleted", "ok", "an unlocked version, but not a locked one"),
    ] {
        let (found, words) = check(name);
        assert!(found == status && words.contains(text), "{name}: {found}: {words}");
    }
    // It really asked, and one locked version is left.
    let log = server.s3().faults();
    assert_eq!((log.count("DELETE", "versionId"), log.count("PUT", "retention")), (2, 2));
    let left = stored(&server, "p/probes/lock-");
    assert_eq!(left.len(), 1);
    assert!(locked_until(&server, &left[0].0, &left[0].1).is_some());
}

#[test]
fn doctor_finds_a_server_that_keeps_no_lock() {
    let server = Arc::new(bucket!());
    let (_cluster, site) = shop(&server, 1);
    // A server that does what it is asked.
    let bypass = [("x-amz-bypass-governance-retention", "true")];
    let thief = server.clone();
    let deletes = server.s3().plan(on("DELETE", "versionId").call(move |served| {
        let target = served.target().replacen("/lifeboat", "", 1);
        thief.expect("DELETE", &target, &bypass, "");
    }));
    let thief = server.clone();
    let shortens = server.s3().plan(on("PUT", "retention").first(1).land_and_call(move |_| {
        let (key, id) = stored(&thief, "p/probes/lock-").pop().unwrap();
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(60);
        let soon = soon.strftime("%Y-%m-%dT%H:%M:%SZ");
        let lock = format!(
            "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{soon}</RetainUntilDate></Retention>"
        );
        thief.expect("PUT", &format!("/{key}?retention&versionId={id}"), &bypass, &lock);
    }));
    let check = checks(&site, 3);
    assert_eq!(check("lock deleted").0, "fail", "{:?}", check("lock deleted"));
    assert_eq!((deletes.fired(), shortens.fired()), (1, 1));
}

#[test]
fn a_missing_right_is_not_taken_for_a_lock() {
    let server = bucket!();
    let (_cluster, site) = shop(&server, 1);
    for (method, text) in
        [("DELETE", "versionId"), ("PUT", "retention"), ("GET", "versioning"), ("GET", "logging")]
    {
        server.s3().plan(on(method, text).respond(403));
    }
    let check = checks(&site, 0);
    for name in ["versions", "access log", "lock shortened", "lock deleted"] {
        assert_eq!(check(name).0, "not-checked", "{name}: {}", check(name).1);
    }
    assert_eq!(check("overwritten").0, "ok");
}

#[test]
fn a_bucket_that_is_public_or_not_encrypted_is_warned_of() {
    let server = bucket!();
    let (_cluster, site) = shop(&server, 1);
    let says = |code: i32, name: &str, status: &str, text: &str| {
        let (found, words) = checks(&site, code)(name);
        assert!(found == status && words.contains(text), "{name}: {found}: {words}");
    };
    let kms = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
               <SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
               </ServerSideEncryptionConfiguration>";
    server.expect("PUT", "?encryption", &[], kms);
    says(0, "encryption", "ok", "aws:kms");
    let names = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"];
    // All four, or it is not blocked.
    for (blocked, status) in [(4, "ok"), (3, "warn")] {
        let settings =
            names.iter().enumerate().map(|(at, name)| format!("<{name}>{}</{name}>", at < blocked));
        let settings: String = settings.collect();
        let block = format!("<PublicAccessBlockConfiguration>{settings}</PublicAccessBlockConfiguration>");
        server.expect("PUT", "?publicAccessBlock", &[], &block);
        says(0, "public access", status, "block");
    }
    // This server always encrypts, and does not judge a policy.
    server.s3().plan(
        on("GET", "policyStatus").answer(200, "<PolicyStatus><IsPublic>true</IsPublic></PolicyStatus>"),
    );
    server.s3().plan(on("GET", "encryption").answer(
        404,
        "<Error><Code>ServerSideEncryptionConfigurationNotFoundError</Code><Message>none</Message></Error>",
    ));
    says(3, "public access", "fail", "makes it public");
    says(3, "encryption", "warn", "does not encrypt");
}

#[test]
fn a_bucket_without_versions_and_locks_is_warned_of() {
    let server = match Ministack::plain() {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let cluster = Cluster::start_default();
    let mut site = Site::s3(&cluster, server.s3(), "p");
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    let check = checks(&site, 0);
    assert_eq!((check("versions").0.as_str(), check("object lock").0.as_str()), ("warn", "warn"));
    site.set("LIFEBOAT_REPOSITORY_LOCK", "governance");
    let check = checks(&site, 3);
    assert_eq!(check("object lock").0, "fail");
}
