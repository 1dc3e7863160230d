//! What every store promises, tried on memory, on a directory, on a real S3 server and on emulators of Azure
//! and Google; and how the remote ones bear a server that misbehaves.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test may; that is how it fails

mod azure;
mod broken;
mod content;
mod faults;
mod google;
mod local;
mod s3;
mod suite;

use std::time::Duration;

use lifeboat::error::Kind;
use lifeboat::store::{Store, StoreOptions};

use s3::Server;

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_promises() {
    let options = StoreOptions { part_bytes: suite::PART_BYTES, ..Default::default() };
    let store = Store::memory_with(&options);
    suite::all(&store).await;
    suite::directories_are_no_objects(&store).await;
    suite::replacing(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), &StoreOptions::default()).unwrap();
    suite::all(&store).await;
    suite::directories_are_no_objects(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_promises() {
    let server = Server::start().await;
    let store = server.open("s3://bucket/some/prefix");
    suite::all(&store).await;
    suite::replacing(&store).await;
    server.wipe();
    let store = server.open("s3://bucket");
    suite::all_but_uploads(&store).await;
    suite::replacing(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_denied_and_never_missing() {
    let server = Server::start().await;
    let store = server.open_with("s3://bucket/p", "wrong", |_| ());
    let denied = |kind: Kind| assert_eq!(kind, Kind::Denied);
    denied(store.head("a").await.unwrap_err().kind());
    denied(store.get("a", 10).await.unwrap_err().kind());
    denied(store.put_new("a", "x").await.unwrap_err().kind());
    denied(store.get_versioned("a", 10).await.unwrap_err().kind());
    denied(suite::listed(&store, "").await.unwrap_err().kind());
    denied(store.list_dirs("").await.unwrap_err().kind());
    let error = store.head("some/key").await.unwrap_err();
    assert!(error.what().contains("some/key") && error.what().contains("s3://bucket/p"), "{error}");
    assert!(error.next_text().is_some());
    assert!(!format!("{error:?} {store:?}").contains("wrong"), "a secret is shown");
    assert_eq!(store.clean_leftovers("").await.unwrap(), 0, "not allowed to look is no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_not_a_missing_object() {
    let server = Server::start().await;
    let store = server.open("s3://absent/p");
    assert_eq!(store.head("a").await.unwrap_err().kind(), Kind::Repository);
    assert_eq!(suite::listed(&store, "").await.unwrap_err().kind(), Kind::Repository);
    // That a put fails, too, is tried in `faults`: s3s-fs creates buckets on the way.
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_are_found_and_aborted() {
    let server = Server::start().await;
    let store = server.open("s3://bucket/p");
    let neighbour = server.open("s3://bucket/pq");
    for (store, key) in [(&store, "instances/a/x"), (&store, "instances/b/y"), (&neighbour, "instances/a/z")]
    {
        let mut upload = store.upload(key).await.unwrap();
        upload.write(content::bytes(1, suite::PART_BYTES + 1)).await.unwrap();
        std::mem::forget(upload); // as a killed process leaves it
    }
    assert_eq!(server.uploads(), 3);
    assert_eq!(store.clean_leftovers("instances/a").await.unwrap(), 1);
    assert_eq!(store.clean_leftovers("").await.unwrap(), 1, "all pages, and no neighbour's");
    assert_eq!(server.uploads(), 1);
    assert_eq!(neighbour.clean_leftovers("instances/a").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_uploads_abort_themselves() {
    let server = Server::start().await;
    let store = server.open("s3://bucket/p");
    let mut upload = store.upload("x").await.unwrap();
    upload.write(content::bytes(1, 3 * suite::PART_BYTES)).await.unwrap();
    assert_eq!(server.uploads(), 1);
    drop(upload);
    for _ in 0..100 {
        if server.uploads() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the upload was not aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_overwrites_is_found_out() {
    let server = Server::start().await;
    server.ignore_conditions();
    let store = server.open("s3://bucket/p");
    assert!(!store.probe_conditional_put("").await.unwrap());
}
