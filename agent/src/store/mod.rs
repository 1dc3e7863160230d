//! The door to object storage: nothing else accesses a bucket or writes into a repository.
//!
//! A [`Store`] is the place of one repository: a directory or a bucket and prefix. Keys are relative
//! (`instances/acme/lease`). These guarantees are the same for every kind of place, and are tested on each:
//!
//! - Objects appear completely or not at all, and are durable when the call returns.
//! - Nothing is overwritten, except through [`Store::replace`], and nothing removed, except through
//!   [`Store::remove`]. Remains of unfinished uploads are no objects.
//! - [`Kind::NotFound`] (and `None`) means that the store said so; a refusal is [`Kind::Denied`], no answer
//!   is [`Kind::Unreachable`].
//! - Every call ends: each request has a timeout, each call a deadline. In a directory only regular files are
//!   opened; anything else is listed as odd, and reading it is [`Kind::Integrity`].
//! - Errors name the key and the URL.
//!
//! This module writes local directories itself, not with `object_store`'s file system, which overwrites on
//! large uploads and leaves file modes to the umask.

mod abandoned;
mod address;
mod azure;
mod certificates;
mod client;
mod connection_string;
mod credentials;
mod fault;
mod google;
mod key;
mod leftovers;
mod local;
mod local_list;
mod local_write;
mod open;
mod options;
mod past;
mod remote;
mod remote_put;
mod remote_read;
mod remove;
mod resume;
mod upload;
pub mod versions;
mod words;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::rate_limit::RateLimit;

pub use abandoned::UnfinishedUpload;
pub use fault::is_archived;
pub use options::StoreOptions;
pub use remove::Removed;
pub use upload::Upload;
use versions::{Lock, VersionId};

/// The place of one repository. Clones are cheap and share connections and the rate limit.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    given: Given,
}

/// What new objects get.
#[derive(Clone, Debug, Default)]
struct Given {
    lock: Option<Lock>,
    /// The store's storage class; its default where `None`.
    class: Option<Arc<str>>,
}

struct Inner {
    url: String,
    place: Backend,
    upload_limit: RateLimit,
}

enum Backend {
    Local(local::Local),
    Remote(remote::Remote),
    /// A bucket as it was at some time.
    Past(past::Past),
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key, relative to the store's URL. Listings also give keys that this agent would not
    /// write and [`Store::get`] refuses, so that foreign objects can be reported.
    pub key: String,
    /// Size of the stored object.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
    /// Another one means that the object was written again: the store's entity tag, or a file's inode and
    /// ctime.
    pub etag: Option<String>,
    /// What has this name instead of an object, such as a FIFO: [`Store::get`] refuses it.
    pub odd: Option<&'static str>,
}

/// Which state of an object was read or written; only for [`Store::replace`].
#[derive(Clone, Debug)]
pub struct Version(object_store::UpdateVersion);

impl Version {
    /// Which version, in a bucket that keeps old ones.
    pub fn id(&self) -> Option<VersionId> {
        self.0.version.clone().map(VersionId::new)
    }
}

/// Facts about an object, and its content in order.
pub type Streamed = (ObjectInfo, BoxStream<'static, Result<Bytes>>);

/// An object that may be replaced, as it was read. For leases.
#[derive(Debug)]
pub struct Replaceable {
    /// Its bytes.
    pub data: Bytes,
    /// Its state.
    pub version: Version,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
    /// The time of that clock when this was read; our time where the store does not give it.
    pub now: Timestamp,
}

impl Store {
    /// The URL that was opened, without a trailing slash. Contains no secrets.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Whether it can be read as its options say: as it was at a time, where they name one.
    ///
    /// # Errors
    /// `Config` where the bucket keeps no versions.
    pub async fn check_past(&self) -> Result<()> {
        match &self.inner.place {
            Backend::Past(past) => past.check().await,
            Backend::Local(_) | Backend::Remote(_) => Ok(()),
        }
    }

    /// Whether this is a directory on this machine.
    pub fn is_local(&self) -> bool {
        self.local_root().is_some()
    }

    /// The directory, for a local store; for the lock file and for free space.
    pub fn local_root(&self) -> Option<&Path> {
        match &self.inner.place {
            Backend::Local(local) => Some(local.root()),
            Backend::Remote(_) | Backend::Past(_) => None,
        }
    }

    /// Stores a new object in one piece. Idempotent: the same bytes under the same key succeed again; so
    /// after a lost answer, our own object is not taken for another writer's.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] where the object exists with other bytes.
    pub async fn put_new(&self, key: &str, data: impl Into<Bytes>) -> Result<()> {
        key::check(key)?;
        let data: Bytes = data.into();
        self.inner.upload_limit.take(data.len() as u64).await;
        match &self.inner.place {
            Backend::Local(_) if self.given.lock.is_some() => Err(self.no_locks(key)),
            Backend::Local(local) => local.put_new(key, data).await,
            Backend::Remote(remote) => remote.put_new(key, data.into(), &self.given).await,
            Backend::Past(past) => past.refuse("store", key),
        }
    }

    /// The same store, whose new objects get this storage class. A directory has none.
    pub fn in_class(&self, class: Option<&str>) -> Store {
        Store { given: Given { class: class.map(Arc::from), ..self.given.clone() }, ..self.clone() }
    }

    /// [`Store::put_new`] on this thread, without a hand-over to another: for small objects that somebody
    /// waits for. `None` where the store is not a directory of this machine, or has a limit of its rate.
    pub fn put_new_here(&self, key: &str, data: &[u8]) -> Option<Result<()>> {
        match &self.inner.place {
            Backend::Local(local) if self.inner.upload_limit.is_unlimited() && self.given.lock.is_none() => {
                Some(key::check(key).and_then(|()| local_write::put_new(local, key, data)))
            }
            _ => None,
        }
    }

    /// Makes objects durable that a listing showed: the process that wrote them may have been killed before
    /// they were. A bucket lists only durable objects.
    pub async fn make_durable(&self, keys: Vec<String>) -> Result<()> {
        keys.iter().try_for_each(|key| key::check(key))?;
        match &self.inner.place {
            Backend::Local(local) => local.make_durable(keys).await,
            Backend::Remote(_) | Backend::Past(_) => Ok(()),
        }
    }

    /// Begins a new object of unknown size; see [`Upload`].
    pub async fn upload(&self, key: &str) -> Result<Upload> {
        key::check(key)?;
        Upload::begin(self.clone(), key).await
    }

    /// Reads a whole object of at most `bytes_max`.
    ///
    /// # Errors
    /// [`Kind::Integrity`] where it is larger, before any of it is read.
    pub async fn get(&self, key: &str, bytes_max: u64) -> Result<Bytes> {
        key::check(key)?;
        match &self.inner.place {
            Backend::Local(local) => local.get(key, bytes_max).await,
            Backend::Remote(remote) => Ok(remote.get(key, None, bytes_max).await?.data),
            Backend::Past(past) => past.get(key, bytes_max).await,
        }
    }

    /// Reads exactly these bytes; an empty range sends no request.
    ///
    /// # Errors
    /// [`Kind::Integrity`] where the object ends before the range does.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        key::check(key)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        match &self.inner.place {
            Backend::Local(local) => local.get_range(key, range).await,
            Backend::Remote(remote) => remote.get_range(key, None, range).await,
            Backend::Past(past) => past.get_range(key, range).await,
        }
    }

    /// Facts about an object, and its content in order. The stream either gives exactly that many bytes or
    /// ends with an error; a broken connection is resumed where it broke.
    pub async fn get_stream(&self, key: &str) -> Result<Streamed> {
        key::check(key)?;
        match &self.inner.place {
            Backend::Local(local) => local.get_stream(key).await,
            Backend::Remote(remote) => remote.get_stream(key, None).await,
            Backend::Past(past) => past.get_stream(key).await,
        }
    }

    /// Facts about the object at `key`; `None` only where the store said that there is none.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        key::check(key)?;
        match &self.inner.place {
            Backend::Local(local) => local.head(key).await,
            Backend::Remote(remote) => remote.head(key).await,
            Backend::Past(past) => past.head(key).await,
        }
    }

    /// Everything below the directory `prefix` (`""`: everything), in no order. Ends after the
    /// first error.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<ObjectInfo>> {
        let prefix = match key::prefix(prefix) {
            Ok(prefix) => prefix.to_owned(),
            Err(e) => return stream::iter([Err(e)]).boxed(),
        };
        match &self.inner.place {
            Backend::Local(local) => local.list(prefix),
            Backend::Remote(remote) => remote.list(prefix),
            Backend::Past(past) => past.list(&prefix),
        }
    }

    /// The names of the directories right below `prefix`, sorted.
    pub async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = key::prefix(prefix)?;
        match &self.inner.place {
            Backend::Local(local) => local.list_dirs(prefix).await,
            Backend::Remote(remote) => remote.list_dirs(prefix).await,
            Backend::Past(past) => past.list_dirs(prefix).await,
        }
    }

    /// The store's clock; `None` where it does not give it, and for a directory, whose clock is ours.
    pub async fn now(&self, key: &str) -> Result<Option<Timestamp>> {
        key::check(key)?;
        match &self.inner.place {
            Backend::Local(_) => Ok(None),
            Backend::Remote(remote) => remote.now(key).await,
            Backend::Past(past) => past.now(key).await,
        }
    }

    /// Reads an object together with its version; `None` where there is none. For leases.
    ///
    /// # Errors
    /// Not for local stores, which lock a file instead.
    pub async fn get_versioned(&self, key: &str, bytes_max: u64) -> Result<Option<Replaceable>> {
        key::check(key)?;
        self.remote("read a version of", key)?.get_versioned(key, bytes_max).await
    }

    /// Replaces the object of this version, or creates it where there is no `expected` version. For leases:
    /// only they are ever replaced. Atomic; after a lost answer the object is read back, so two writers must
    /// never write the same bytes.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where another writer has replaced the object; not for local stores.
    pub async fn replace(
        &self,
        key: &str,
        data: impl Into<Bytes>,
        expected: Option<&Version>,
    ) -> Result<Version> {
        key::check(key)?;
        self.remote("replace", key)?.replace(key, data.into(), expected).await
    }

    /// Whether the store refuses to overwrite when asked to: writes twice to a new key below `prefix`. One
    /// tiny object remains where deleting is denied.
    pub async fn probe_conditional_put(&self, prefix: &str) -> Result<bool> {
        let prefix = key::prefix(prefix)?;
        match &self.inner.place {
            Backend::Local(local) => local.probe(prefix).await,
            Backend::Remote(remote) => remote.probe(prefix).await,
            Backend::Past(past) => past.refuse("try to overwrite below", prefix),
        }
    }

    /// Removes the remains of unfinished uploads below `prefix`, and counts them: multipart uploads on S3,
    /// staged files locally. Azure itself drops uncommitted blocks after a week; Google's store needs a rule
    /// of the bucket (docs/repositories.md). Only those whose key `which` names: it would abort a running
    /// upload, so the caller holds the lease or lock under which these keys are written. Where the store
    /// refuses the listing, only a warning is logged.
    pub async fn clean_leftovers_of(
        &self,
        prefix: &str,
        which: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<u64> {
        let prefix = key::prefix(prefix)?;
        match &self.inner.place {
            Backend::Local(local) => local.clean_leftovers(prefix, Duration::ZERO, which).await,
            Backend::Remote(remote) => remote.clean_leftovers(prefix, &which).await,
            Backend::Past(past) => past.refuse("clean up", prefix),
        }
    }

    /// [`Store::clean_leftovers_of`] for every key.
    pub async fn clean_leftovers(&self, prefix: &str) -> Result<u64> {
        self.clean_leftovers_of(prefix, |_| true).await
    }

    /// The same where others may be storing at the same time: only remains older than `age_min`. For local
    /// stores; on other stores, objects stored with one request each, such as WAL, leave nothing.
    pub async fn clean_old_leftovers(&self, prefix: &str, age_min: Duration) -> Result<u64> {
        let prefix = key::prefix(prefix)?;
        match &self.inner.place {
            Backend::Local(local) => local.clean_leftovers(prefix, age_min, |_| true).await,
            Backend::Remote(_) => Ok(0),
            Backend::Past(past) => past.refuse("clean up", prefix),
        }
    }

    fn remote(&self, verb: &str, key: &str) -> Result<&remote::Remote> {
        match &self.inner.place {
            Backend::Remote(remote) => Ok(remote),
            Backend::Past(past) => past.refuse(verb, key),
            Backend::Local(_) => Err(Error::new(
                Kind::Internal,
                format!(
                    "cannot {verb} {key} in {}: only a bucket has versions; a directory is locked by a file",
                    self.url()
                ),
            )),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.url())
    }
}
