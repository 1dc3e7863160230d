//! The store's door: versions are listed, read and deleted, and a lock refuses that.

use futures::TryStreamExt;
use lifeboat::clock::{self, Timestamp};
use lifeboat::config::LockMode;
use lifeboat::error::Kind;
use lifeboat::store::versions::{Lock, ObjectLock, ObjectVersion, Versioning};
use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::faults::on;
use lifeboat_tests::{Ministack, skip};

use super::{bucket, open};

pub async fn versions(store: &Store, prefix: &str) -> Vec<ObjectVersion> {
    store.versions(prefix).try_collect().await.unwrap()
}

pub fn in_hours(hours: i64) -> Timestamp {
    Timestamp::from_second(clock::now().as_second() + hours * 3600).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_overwritten_and_deleted_is_listed_and_read() {
    let server = bucket!();
    let store = open(&server);
    store.put_new("a/x", "first").await.unwrap();
    // A thief's two ways.
    server.expect("PUT", "/p/a/x", &[], "second one");
    server.expect("DELETE", "/p/a/x", &[], "");
    // Neighbours, one with a name that no key of ours has.
    store.put_new("ab/y", "other").await.unwrap();
    server.expect("PUT", "/p/a/strange%3C%2B", &[], "foreign");
    server.expect("PUT", "/pq/a/x", &[], "another repository");

    let found = versions(&store, "a").await;
    let seen: Vec<_> =
        found.iter().map(|v| (v.info.key.as_str(), v.info.bytes, v.is_marker, v.is_latest)).collect();
    assert_eq!(
        seen,
        [
            ("a/strange<+", 7, false, true),
            ("a/x", 0, true, true),
            ("a/x", 10, false, false),
            ("a/x", 5, false, false),
        ]
    );
    assert_eq!(store.head("a/x").await.unwrap(), None, "a marker hides it");
    let first = &found[3];
    assert_eq!(store.get_version("a/x", &first.id, 100).await.unwrap(), "first");
    assert_eq!(store.get_version_range("a/x", &first.id, 1..3).await.unwrap(), "ir");
    let (info, body) = store.get_version_stream("a/x", &first.id).await.unwrap();
    assert_eq!((info.bytes, info.etag), (5, first.info.etag.clone()));
    assert_eq!(body.try_collect::<Vec<_>>().await.unwrap().concat(), b"first");

    // Without the marker the second one is seen again; without that, the first.
    store.remove_version("a/x", &found[1].id).await.unwrap();
    assert_eq!(store.get("a/x", 100).await.unwrap(), "second one");
    store.remove_version("a/x", &found[2].id).await.unwrap();
    store.remove_version("a/x", &found[2].id).await.unwrap();
    assert_eq!(store.get("a/x", 100).await.unwrap(), "first");
    assert_eq!(versions(&store, "").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_many_versions_comes_in_pages() {
    let server = bucket!();
    let store = open(&server);
    for i in 0..350 {
        for content in ["1", "22", "333"] {
            server.expect("PUT", &format!("/p/k/{i:04}"), &[], content);
        }
    }
    server.s3().faults().clear_log();
    let found = versions(&store, "k").await;
    assert!(server.s3().faults().count("GET", "versions") >= 2, "no second page was needed");
    assert_eq!(found.len(), 1050);
    for (i, of_key) in found.chunks(3).enumerate() {
        let expected = |bytes| (format!("k/{i:04}"), bytes);
        let seen: Vec<_> = of_key.iter().map(|v| (v.info.key.clone(), v.info.bytes)).collect();
        assert_eq!(seen, [expected(3), expected(2), expected(1)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_refuses_deletion_and_is_only_made_longer() {
    let server = bucket!();
    let store = open(&server);
    store.put_new("x", "data").await.unwrap();
    let id = versions(&store, "").await.remove(0).id;
    assert_eq!(store.version_lock("x", Some(&id)).await.unwrap(), None);
    let day = Lock { mode: LockMode::Compliance, until: in_hours(24) };
    store.set_version_lock("x", &id, day).await.unwrap();
    assert_eq!(store.version_lock("x", Some(&id)).await.unwrap(), Some(day));
    let refused = store.remove_version("x", &id).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied, "{refused}");
    let shorter = Lock { until: in_hours(1), ..day };
    let refused = store.set_version_lock("x", &id, shorter).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied, "{refused}");
    let longer = Lock { until: in_hours(48), ..day };
    store.set_version_lock("x", &id, longer).await.unwrap();
    assert_eq!(store.version_lock("x", Some(&id)).await.unwrap(), Some(longer));
    assert_eq!(store.get("x", 10).await.unwrap(), "data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_request_is_sent_again_and_a_refused_one_is_not() {
    let server = bucket!();
    let store = open(&server);
    store.put_new("x", "data").await.unwrap();
    let slow = server.s3().plan(on("GET", "versions").first(2).respond(503));
    let id = versions(&store, "").await.remove(0).id;
    assert_eq!(slow.fired(), 2);
    let denied = server.s3().plan(on("PUT", "retention").respond(403));
    let lock = Lock { mode: LockMode::Governance, until: in_hours(1) };
    let error = store.set_version_lock("x", &id, lock).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.what().starts_with("cannot lock x in s3://lifeboat/p (HTTP 403; 1 try in "), "{error}");
    assert_eq!(denied.matched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_says_what_it_is() {
    let server = bucket!();
    let store = open(&server);
    let facts = store.bucket_facts().await.unwrap();
    assert_eq!(facts.versioning.unwrap(), Versioning::Enabled);
    assert_eq!(facts.object_lock.unwrap(), ObjectLock::On { default_mode: None, default_days: 0 });
    assert_eq!(facts.encryption.unwrap().as_deref(), Some("AES256"));
    assert_eq!(facts.access_log.unwrap(), None);
    assert!(!facts.blocks_public_access.unwrap());
    // This server does not know the question, and answers another one.
    assert_eq!(facts.is_public.unwrap_err().kind(), Kind::Unreachable);

    server.expect(
        "PUT",
        "?object-lock",
        &[],
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
         <Mode>COMPLIANCE</Mode><Years>2</Years></DefaultRetention></Rule></ObjectLockConfiguration>",
    );
    server.expect(
        "PUT",
        "?publicAccessBlock",
        &[],
        "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true\
         </IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true\
         </RestrictPublicBuckets></PublicAccessBlockConfiguration>",
    );
    server.s3().plan(on("GET", "encryption").respond(403));
    let facts = store.bucket_facts().await.unwrap();
    let two_years = ObjectLock::On { default_mode: Some(LockMode::Compliance), default_days: 730 };
    assert_eq!(facts.object_lock.unwrap(), two_years);
    assert!(facts.blocks_public_access.unwrap());
    assert_eq!(facts.encryption.unwrap_err().kind(), Kind::Denied, "a missing right is no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_bucket_has_one_version_of_each_object_and_no_locks() {
    let server = match Ministack::plain() {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let store = open(&server);
    store.put_new("x", "data").await.unwrap();
    let found = versions(&store, "").await;
    let ids: Vec<_> = found.iter().map(|v| (v.id.as_str(), v.is_latest, v.is_marker)).collect();
    assert_eq!(ids, [("null", true, false)]);
    assert_eq!(store.version_lock("x", None).await.unwrap(), None);
    let facts = store.bucket_facts().await.unwrap();
    assert_eq!(facts.versioning.unwrap(), Versioning::Off);
    assert_eq!(facts.object_lock.unwrap(), ObjectLock::Off);
}

#[tokio::test]
async fn a_directory_says_that_it_has_no_versions() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), &StoreOptions::default()).unwrap();
    assert!(!store.has_versions());
    let error = store.versions("").try_next().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.what().ends_with("a directory has no versions"), "{error}");
    assert_eq!(store.bucket_facts().await.unwrap_err().kind(), Kind::Config);
}
