//! A bucket, or the store in memory, through `object_store`: what all operations share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::aws::AmazonS3;
use object_store::client::HttpClient;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::client::upload_time;
use super::fault::Call;
use super::versions::VersionedBucket;
use super::words::Words;
use super::{ObjectInfo, StoreOptions, key};
use crate::clock::Timestamp;
use crate::error::{Kind, Result};
use crate::names::random_hex;

/// The limits of every call.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) request_timeout: Duration,
    pub(super) retry_deadline: Duration,
    pub(super) retries_max: usize,
    pub(super) part_bytes: usize,
}

impl Limits {
    pub(super) fn of(options: &StoreOptions) -> Limits {
        Limits {
            request_timeout: options.request_timeout,
            retry_deadline: options.retry_deadline,
            retries_max: options.retries_max,
            part_bytes: options.part_bytes,
        }
    }
}

/// Only for S3: our own signed requests, for what object_store does not support.
#[derive(Clone)]
pub(super) struct S3 {
    pub(super) signer: AmazonS3,
    pub(super) http: HttpClient,
}

/// A bucket and a prefix in it.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: String,
    pub(super) words: Arc<Words>,
    pub(super) limits: Limits,
    pub(super) s3: Option<S3>,
    /// For S3, where Lifeboat was built with it: versions and locks.
    pub(super) versions: Option<Arc<dyn VersionedBucket>>,
    /// Whether the bucket has given an answer that only an existing bucket gives.
    seen: Arc<AtomicBool>,
}

impl Remote {
    pub(super) fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: String,
        words: Words,
        limits: Limits,
        s3: Option<S3>,
        versions: Option<Arc<dyn VersionedBucket>>,
    ) -> Remote {
        Remote { objects, prefix, words: Arc::new(words), limits, s3, versions, seen: Arc::default() }
    }

    /// A call on this key that sends about so many bytes.
    pub(super) fn call(&self, verb: &'static str, key: &str, bytes: u64) -> Call {
        // object_store checks the deadline before it begins a try, which may then take a whole timeout; and
        // each try may have to send all bytes again.
        let tries = 2 + u32::from(bytes > 0);
        let limit = self.limits.retry_deadline + tries * (self.limits.request_timeout + upload_time(bytes));
        Call::new(&self.words, verb, key, limit)
    }

    /// The key within the bucket.
    pub(super) fn path(&self, key: &str) -> Path {
        // Keys and prefixes were checked, so there is nothing to encode.
        Path::from(key::join(&self.prefix, key))
    }

    /// object_store's metadata as ours; `None` for an object that is not below our prefix.
    pub(super) fn info(&self, meta: &ObjectMeta) -> Option<ObjectInfo> {
        Some(ObjectInfo {
            key: key::below(&self.prefix, meta.location.as_ref())?.to_owned(),
            bytes: meta.size,
            modified: Timestamp::from_microsecond(meta.last_modified.timestamp_micros()).unwrap_or_default(),
            etag: meta.e_tag.clone(),
            odd: None,
        })
    }

    pub(super) fn bucket_seen(&self) {
        self.seen.store(true, Relaxed);
    }

    /// The size and version of an object; `None` only where the bucket exists and the object does not.
    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        let path = self.path(key);
        match self.call("look at", key, 0).run(self.objects.head(&path)).await {
            Ok(meta) => {
                self.bucket_seen();
                Ok(self.info(&meta))
            }
            Err(e) if e.kind() == Kind::NotFound => self.check_bucket().await.map(|()| None),
            Err(e) => Err(e),
        }
    }

    /// The store's clock, from a HEAD request for an object. A refusal contains it as well: a wrong clock may
    /// be the reason.
    pub(super) async fn now(&self, key: &str) -> Result<Option<Timestamp>> {
        let (path, call) = (self.path(key), self.call("look at", key, 0));
        match call.run(self.objects.head(&path)).await {
            Err(e) if e.kind() != Kind::NotFound && call.date().is_none() => Err(e),
            _ => Ok(call.date()),
        }
    }

    /// An answer to HEAD has no body, so a missing bucket looks like a missing object: asks once whether the
    /// bucket exists.
    pub(super) async fn check_bucket(&self) -> Result<()> {
        if !self.seen.load(Relaxed) {
            let call = self.call("list", "", 0);
            let path = self.path("");
            let mut listing = self.objects.list(Some(&path));
            call.run(async { listing.next().await.transpose() }).await?;
            self.bucket_seen();
        }
        Ok(())
    }

    pub(super) fn list(&self, prefix: String) -> BoxStream<'static, Result<ObjectInfo>> {
        let path = self.path(&prefix);
        let listing = self.objects.list(Some(&path));
        let state = (self.clone(), prefix, listing, false);
        stream::unfold(state, |(remote, prefix, mut listing, ended)| async move {
            if ended {
                return None;
            }
            loop {
                // A separate call for each item: each may have to fetch a page.
                let call = remote.call("list", &prefix, 0);
                match call.run(async { listing.next().await.transpose() }).await {
                    Ok(None) => return None,
                    Ok(Some(meta)) => match remote.info(&meta) {
                        Some(info) => return Some((Ok(info), (remote, prefix, listing, false))),
                        None => continue, // the marker of a folder, which some tools create
                    },
                    Err(e) => return Some((Err(e), (remote, prefix, listing, true))),
                }
            }
        })
        .boxed()
    }

    pub(super) async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let path = self.path(prefix);
        let call = self.call("list", prefix, 0);
        let listing = call.run(self.objects.list_with_delimiter(Some(&path))).await?;
        let names = listing.common_prefixes.iter().filter_map(|p| p.filename().map(str::to_owned));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    pub(super) async fn probe(&self, prefix: &str) -> Result<bool> {
        let name = key::join(prefix, &format!("probe-{}", random_hex(8)));
        let path = self.path(&name);
        self.put_new(&name, "1".into(), &Default::default()).await?;
        let second = self.put_new(&name, "2".into(), &Default::default()).await;
        let removed = self.call("remove", &name, 0).run(self.objects.delete(&path)).await;
        if let Err(e) = removed {
            tracing::debug!(key = name, error = ?e, "the object of the probe could not be removed");
        }
        match second {
            Ok(()) => Ok(false),
            Err(e) if e.kind() == Kind::AlreadyExists => Ok(true),
            Err(e) => Err(e),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.words.url)
    }
}
