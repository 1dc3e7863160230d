//! Objects that are stored with a lock: it is read back, and one that a server dropped is set. Without it,
//! nothing counts as stored.

use bytes::Bytes;
use lifeboat::config::LockMode;
use lifeboat::error::{Kind, Result};
use lifeboat::store::versions::Lock;
use lifeboat::store::{Store, StoreOptions};
use lifeboat_tests::faults::on;
use lifeboat_tests::{Ministack, skip};

use super::versions::{in_hours, versions};
use super::{PART_BYTES, bucket, open};

fn governance() -> Lock {
    Lock { mode: LockMode::Governance, until: in_hours(24) }
}

/// Stores an object of three parts.
async fn upload(store: &Store, key: &str) -> Result<u64> {
    let mut upload = store.upload(key).await?;
    for _ in 0..3 {
        upload.write(Bytes::from(vec![7; PART_BYTES])).await?;
    }
    upload.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_comes_with_the_object_and_is_read_back() {
    let server = bucket!();
    let (store, lock) = (open(&server), governance());
    let locked = store.locked(lock);
    locked.put_new("a", "data").await.unwrap();
    assert_eq!(store.version_lock("a", None).await.unwrap(), Some(lock));
    let log = server.s3().faults();
    assert_eq!(
        (log.count("PUT", "retention"), log.count("GET", "retention")),
        (0, 2),
        "it is set by the PUT"
    );
    // The same again is the same object; another one is refused.
    locked.put_new("a", "data").await.unwrap();
    assert_eq!(locked.put_new("a", "other").await.unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(versions(&store, "").await.len(), 1);
    // Without a lock as before.
    store.put_new("b", "data").await.unwrap();
    assert_eq!(store.version_lock("b", None).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_a_large_upload_lost_is_set_afterwards() {
    let server = bucket!();
    let (store, lock) = (open(&server), governance());
    assert_eq!(upload(&store.locked(lock), "large").await.unwrap(), 3 * PART_BYTES as u64);
    let log = server.s3().faults();
    assert_eq!(log.count("PUT", "retention"), 1, "this server is known to drop it");
    assert_eq!(store.version_lock("large", None).await.unwrap(), Some(lock));
    assert_eq!(store.get("large", 20 << 20).await.unwrap().len(), 3 * PART_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_its_lock_does_not_count_as_stored() {
    let server = bucket!();
    let store = open(&server).locked(governance());
    // Refused.
    let refused = server.s3().plan(on("PUT", "retention").respond(403));
    let error = upload(&store, "refused").await.unwrap_err();
    assert_eq!((error.kind(), refused.fired()), (Kind::Denied, 1), "{error:?}");
    assert!(error.effect_text().unwrap().contains("without the lock that it must have"), "{error:?}");
    // Forgotten, although the server says that all is well.
    server.s3().faults().clear();
    let forgotten = server.s3().plan(on("PUT", "retention").respond(200));
    let error = upload(&store, "forgotten").await.unwrap_err();
    assert_eq!((error.kind(), forgotten.fired()), (Kind::Config, 1), "{error:?}");
    assert!(error.what().ends_with("it has no lock although one was asked for"), "{error:?}");
    // Not to be looked at.
    server.s3().faults().clear();
    server.s3().plan(on("GET", "retention").respond(403));
    assert_eq!(store.put_new("not-seen", "data").await.unwrap_err().kind(), Kind::Denied);
    // Throttled, then done.
    server.s3().faults().clear();
    let slow = server.s3().plan(on("PUT", "retention").first(2).respond(503));
    upload(&store, "slow").await.unwrap();
    assert_eq!(slow.fired(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_locked_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let local =
        Store::open(dir.path().to_str().unwrap(), &StoreOptions::default()).unwrap().locked(governance());
    assert_eq!(local.put_new("a", "data").await.unwrap_err().kind(), Kind::Config);
    assert!(local.put_new_here("a", b"data").is_none());
    assert_eq!(local.upload("b").await.unwrap_err().kind(), Kind::Config);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let memory = Store::memory().locked(governance());
    assert_eq!(memory.put_new("a", "data").await.unwrap_err().kind(), Kind::Config);

    let server = match Ministack::plain() {
        Ok(server) => server,
        Err(why) => skip!("{why}"),
    };
    let store = open(&server).locked(governance());
    let error = store.put_new("a", "data").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error:?}");
    assert!(upload(&store, "large").await.is_err());
}
