//! The promises, one function each, over any store.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use lifeboat::clock::Timestamp;
use lifeboat::config::LockMode;
use lifeboat::error::{Kind, Result};
use lifeboat::store::versions::Lock;
use lifeboat::store::{ObjectInfo, Store};

use crate::content::bytes;

/// The smallest part that S3 takes.
pub const PART_BYTES: usize = 5 << 20;

pub async fn all(store: &Store) {
    uploads(store).await;
    unfinished_uploads(store).await;
    all_but_uploads(store).await;
}

pub async fn all_but_uploads(store: &Store) {
    create_only(store).await;
    reading(store).await;
    missing(store).await;
    listing(store).await;
    keys(store).await;
    removing(store).await;
    assert!(store.probe_conditional_put("probe").await.unwrap());
    assert!(listed(store, "probe").await.unwrap().is_empty(), "the probe leaves nothing");
}

pub async fn listed(store: &Store, prefix: &str) -> Result<Vec<ObjectInfo>> {
    let mut all: Vec<ObjectInfo> = store.list(prefix).try_collect().await?;
    all.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(all)
}

async fn streamed(store: &Store, key: &str) -> Result<(u64, Bytes)> {
    let (info, pieces) = store.get_stream(key).await?;
    let size = info.bytes;
    let data = pieces.try_fold(BytesMut::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    Ok((size, data.await?.freeze()))
}

async fn create_only(store: &Store) {
    store.put_new("put/a.json", "one").await.unwrap();
    store.put_new("put/a.json", "one").await.unwrap(); // the same bytes again are no error
    for other in ["two", "", "one and more"] {
        let error = store.put_new("put/a.json", other).await.unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyExists, "{error:?}");
        assert!(error.what().contains("put/a.json") && error.what().contains(store.url()), "{error}");
    }
    assert_eq!(store.get("put/a.json", 100).await.unwrap(), "one");
    store.put_new("put/empty", "").await.unwrap();
    assert_eq!(store.get("put/empty", 0).await.unwrap(), "");
    assert_eq!(streamed(store, "put/empty").await.unwrap(), (0, Bytes::new()));
}

async fn uploads(store: &Store) {
    for (n, size) in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 3 * PART_BYTES + 77]
        .into_iter()
        .enumerate()
    {
        let key = format!("up/{size}");
        let data = bytes(n as u64, size);
        let mut upload = store.upload(&key).await.unwrap();
        // Chunks that divide nothing, and one that spans parts.
        let mut rest = data.clone();
        for chunk in [1, 333_333, PART_BYTES + 12_345, 65_536].into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            upload.write(rest.split_to(chunk.min(rest.len()))).await.unwrap();
        }
        assert!(store.head(&key).await.unwrap().is_none(), "{key} is visible before finish");
        assert_eq!(upload.finish().await.unwrap(), size as u64);
        let (announced, read) = streamed(store, &key).await.unwrap();
        assert_eq!(announced, size as u64);
        assert!(read == data, "{key} came back different");

        let mut again = store.upload(&key).await.unwrap();
        again.write(bytes(99, size + 1)).await.unwrap();
        assert_eq!(again.finish().await.unwrap_err().kind(), Kind::AlreadyExists, "{key}");
        assert!(store.get(&key, size as u64).await.unwrap() == data, "{key} was overwritten");
    }
}

async fn unfinished_uploads(store: &Store) {
    for size in [10, PART_BYTES * 2] {
        for abort in [false, true] {
            let mut upload = store.upload("gone/x").await.unwrap();
            upload.write(bytes(1, size)).await.unwrap();
            if abort {
                upload.abort().await.unwrap();
            } else {
                drop(upload);
            }
            assert!(store.head("gone/x").await.unwrap().is_none());
            assert!(listed(store, "gone").await.unwrap().is_empty());
        }
    }
}

async fn reading(store: &Store) {
    let data = bytes(5, 300_000);
    store.put_new("read/x", data.clone()).await.unwrap();
    assert!(store.get("read/x", 300_000).await.unwrap() == data);
    let error = store.get("read/x", 299_999).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    for part in ["read/x", "300000", "299999", store.url()] {
        assert!(error.what().contains(part), "{error}");
    }
    for range in [0..1, 0..300_000, 7..100_000, 299_999..300_000] {
        let read = store.get_range("read/x", range.clone()).await.unwrap();
        assert!(read == data[range.start as usize..range.end as usize]);
    }
    assert_eq!(store.get_range("read/x", 5..5).await.unwrap(), "");
    for beyond in [0..300_001, 299_000..310_000, 300_000..300_001, 900_000..900_001] {
        let error = store.get_range("read/x", beyond.clone()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{beyond:?}: {error:?}");
    }
}

async fn missing(store: &Store) {
    let not_found = |error: lifeboat::error::Error| {
        assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
        assert!(error.what().contains("no/such") && error.what().contains(store.url()), "{error}");
        assert!(error.next_text().is_some());
    };
    assert!(store.head("no/such").await.unwrap().is_none());
    not_found(store.get("no/such", 10).await.unwrap_err());
    not_found(store.get_range("no/such", 0..1).await.unwrap_err());
    not_found(store.get_stream("no/such").await.err().unwrap());
    assert!(listed(store, "no/such").await.unwrap().is_empty());
    assert!(store.list_dirs("no/such").await.unwrap().is_empty());
}

async fn listing(store: &Store) {
    // Every character that a key may have, for whoever signs or encodes them.
    let odd = "odd/A-Z_a.z+1:2@3=4";
    store.put_new(odd, "odd").await.unwrap();
    assert_eq!(store.get(odd, 10).await.unwrap(), "odd");
    assert_eq!(listed(store, "odd").await.unwrap()[0].key, odd);
    for key in ["l/b/1", "l/a/x/2", "l/a/3", "l/top", "l/ab/4", "lx/5"] {
        store.put_new(key, key).await.unwrap();
    }
    let keys = |infos: Vec<ObjectInfo>| infos.into_iter().map(|i| i.key).collect::<Vec<_>>();
    assert_eq!(keys(listed(store, "l").await.unwrap()), ["l/a/3", "l/a/x/2", "l/ab/4", "l/b/1", "l/top"]);
    assert_eq!(keys(listed(store, "l/a/").await.unwrap()), ["l/a/3", "l/a/x/2"], "whole segments only");
    assert!(keys(listed(store, "").await.unwrap()).len() > 6);
    assert_eq!(store.list_dirs("l").await.unwrap(), ["a", "ab", "b"]);
    assert!(store.list_dirs("").await.unwrap().contains(&"lx".to_owned()));
    let info = store.head("l/top").await.unwrap().unwrap();
    assert_eq!((info.key.as_str(), info.bytes), ("l/top", 5));
    let age = lifeboat::clock::now().duration_since(info.modified).as_secs();
    assert!((-2..600).contains(&age), "modified {}", info.modified);
    assert_eq!(listed(store, "l").await.unwrap().pop().unwrap().bytes, 5);
}

async fn keys(store: &Store) {
    for bad in ["", "/x", "x/", "a//b", "../x", "a/../../x", "a/.", "a#1", "a b", "a\0b", "a\\b", "a%2fb"] {
        let usage = |e: lifeboat::error::Error| assert_eq!(e.kind(), Kind::Usage, "{bad:?}");
        usage(store.put_new(bad, "x").await.unwrap_err());
        usage(store.get(bad, 1).await.unwrap_err());
        usage(store.head(bad).await.unwrap_err());
        usage(store.get_stream(bad).await.err().unwrap());
        usage(store.upload(bad).await.unwrap_err());
    }
    assert_eq!(listed(store, "../x").await.unwrap_err().kind(), Kind::Usage);
    assert_eq!(store.list_dirs("a//b").await.unwrap_err().kind(), Kind::Usage);
    assert_eq!(store.clean_leftovers("..").await.unwrap_err().kind(), Kind::Usage);
}

/// More than one request takes; what is gone already, or is not ours by its name, does not stop the others.
async fn removing(store: &Store) {
    let keys: Vec<String> = (0..1_003).map(|n| format!("old/{}/x{n}", n % 7)).collect();
    futures::stream::iter(keys.clone())
        .map(|key| async move { store.put_new(&key, "x").await })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await
        .unwrap();
    store.put_new("old/stays", "x").await.unwrap();
    let mut asked = keys.clone();
    asked.extend(["old/never".to_owned(), "../old".to_owned()]);
    let removed = store.remove(asked).await.unwrap();
    assert_eq!(removed.removed, 1_004, "{removed:?}");
    assert_eq!(removed.failed.len(), 1, "{removed:?}");
    assert_eq!((removed.failed[0].0.as_str(), removed.failed[0].1.kind()), ("../old", Kind::Usage));
    let left: Vec<String> = listed(store, "old").await.unwrap().into_iter().map(|info| info.key).collect();
    assert_eq!(left, ["old/stays"]);
    assert_eq!(store.remove(keys).await.unwrap().removed, 1_003, "again");
    assert_eq!(store.remove(Vec::new()).await.unwrap().removed, 0);
}

/// Not for s3s-fs, which has directories below and answers 500.
pub async fn directories_are_no_objects(store: &Store) {
    store.put_new("dir/sub/x", "x").await.unwrap();
    for dir in ["dir", "dir/sub"] {
        assert!(store.head(dir).await.unwrap().is_none());
        assert_eq!(store.get(dir, 10).await.unwrap_err().kind(), Kind::NotFound);
    }
    assert_eq!(store.get("dir/sub/x/y", 10).await.unwrap_err().kind(), Kind::NotFound);
}

/// For stores that have no file locks.
pub async fn replacing(store: &Store) {
    assert!(store.get_versioned("i/lease", 100).await.unwrap().is_none());
    let first = store.replace("i/lease", "one", None).await.unwrap();
    let conflict = |e: lifeboat::error::Error| assert_eq!(e.kind(), Kind::Conflict, "{e:?}");
    conflict(store.replace("i/lease", "two", None).await.unwrap_err());
    let second = store.replace("i/lease", "two", Some(&first)).await.unwrap();
    conflict(store.replace("i/lease", "three", Some(&first)).await.unwrap_err());
    let found = store.get_versioned("i/lease", 100).await.unwrap().unwrap();
    assert!(
        (found.now.as_second() - found.modified.as_second()).abs() < 600,
        "both are the store's own times"
    );
    let (data, read) = (found.data, found.version);
    assert_eq!(data, "two");
    store.replace("i/lease", "three", Some(&read)).await.unwrap();
    conflict(store.replace("i/lease", "four", Some(&second)).await.unwrap_err());
    assert_eq!(store.get("i/lease", 100).await.unwrap(), "three");
    conflict(store.replace("i/other", "x", Some(&second)).await.unwrap_err());
}

/// For stores whose objects Lifeboat cannot lock: nothing is stored without the lock that was asked for.
pub async fn no_locks(store: &Store) {
    let until = Timestamp::now().checked_add(std::time::Duration::from_secs(86_400)).unwrap();
    let locked = store.clone().locked(Lock { mode: LockMode::Governance, until });
    let refused = |e: lifeboat::error::Error| {
        assert_eq!(e.kind(), Kind::Config, "{e:?}");
        assert!(e.what().contains("only in buckets of S3"), "{e:?}");
    };
    refused(locked.put_new("lock/a", "data").await.unwrap_err());
    for parts in [1, 3] {
        let stored = async {
            let mut upload = locked.upload("lock/b").await?;
            for _ in 0..parts {
                upload.write(Bytes::from(vec![7; PART_BYTES])).await?;
            }
            upload.finish().await
        };
        refused(stored.await.unwrap_err());
    }
    refused(store.versions("").try_next().await.unwrap_err());
    assert!(store.list("lock").try_next().await.unwrap().is_none());
}
