//! Versions of objects, and their locks: what a bucket of S3 keeps although somebody overwrote or deleted it.
//!
//! `object_store` reads a version; everything else here is done through Amazon's own client
//! (docs/decisions/aws-sdk-s3.md), which only `sdk` knows. Elsewhere (directories, Azure, Google, a Lifeboat
//! that was built without it) each call is [`crate::error::Kind::Config`] and says so.

pub mod facts;
mod list;
mod put;
mod read;
mod retention;
#[cfg(feature = "aws-sdk")]
pub(super) mod sdk;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use object_store::aws::AwsCredentialProvider;
use object_store::client::HttpClient;
use object_store::{MultipartUpload, UpdateVersion};

use super::{ObjectInfo, StoreOptions};
use crate::clock::Timestamp;
use crate::config::LockMode;
use crate::error::Result;
#[cfg(not(feature = "aws-sdk"))]
use crate::error::{Error, Kind};

/// Which version of an object, in the store's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionId(String);

impl VersionId {
    /// As the store gave it.
    pub fn new(id: impl Into<String>) -> VersionId {
        VersionId(id.into())
    }

    /// As the store gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One version of an object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The key, size and entity tag of this version, and when it was written, by the store's clock.
    pub info: ObjectInfo,
    /// Which version.
    pub id: VersionId,
    /// Whether a read without a version gives this one.
    pub is_latest: bool,
    /// Whether this is a delete marker: it has no content, and hides what is older.
    pub is_marker: bool,
}

/// The lock of a version: until then the store refuses to delete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// How strict it is.
    pub mode: LockMode,
    /// When it ends.
    pub until: Timestamp,
}

impl Lock {
    /// Whether this lock is as long and as strict as that one; stores keep whole seconds.
    pub fn covers(&self, other: Lock) -> bool {
        self.mode >= other.mode && self.until.as_second() >= other.until.as_second()
    }
}

/// A page of a listing, at most 1,000 versions.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Keys are those in the bucket.
    pub(super) versions: Vec<ObjectVersion>,
    /// Where the next page begins.
    pub(super) next: Option<PageStart>,
}

/// The key and the version after which a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageStart {
    pub(super) key: String,
    pub(super) id: Option<String>,
}

/// Whether versions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioning {
    /// Nothing that is overwritten or deleted is lost.
    Enabled,
    /// Not any more: old versions stay, new ones replace each other.
    Suspended,
    /// What is overwritten or deleted is lost.
    Off,
}

/// Whether objects can be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectLock {
    /// Neither now nor later, at most servers.
    Off,
    /// They can; `default_mode` and `default_days` is what an object gets that came without a lock.
    On {
        /// None: such an object has no lock.
        default_mode: Option<LockMode>,
        /// A year counts 365 days.
        default_days: u32,
    },
}

/// The answer to a question to the bucket.
pub(super) type Answer<'a, T> = BoxFuture<'a, object_store::Result<T>>;

/// What object_store cannot do. Paths are keys in the bucket.
pub(super) trait VersionedBucket: fmt::Debug + Send + Sync {
    /// Versions whose path begins with `prefix`, sorted by path.
    fn page<'a>(&'a self, prefix: &'a str, after: Option<&'a PageStart>) -> Answer<'a, Page>;
    /// The lock of a version, or of the latest one; `None` where it has none.
    fn lock<'a>(&'a self, path: &'a str, id: Option<&'a str>) -> Answer<'a, Option<Lock>>;
    /// Locks a version, or extends its lock.
    fn set_lock<'a>(&'a self, path: &'a str, id: &'a str, lock: Lock) -> Answer<'a, ()>;
    /// Whether a version has a legal hold.
    fn legal_hold<'a>(&'a self, path: &'a str, id: &'a str) -> Answer<'a, bool>;
    /// Sets the legal hold of a version, or lifts it.
    fn set_legal_hold<'a>(&'a self, path: &'a str, id: &'a str, on: bool) -> Answer<'a, ()>;
    /// Deletes a version, for ever.
    fn remove<'a>(&'a self, path: &'a str, id: &'a str) -> Answer<'a, ()>;
    /// Stores a new object, with its lock.
    fn put<'a>(
        &'a self,
        path: &'a str,
        data: Bytes,
        lock: Lock,
        class: Option<&'a str>,
    ) -> Answer<'a, UpdateVersion>;
    /// Begins a large object, with its lock.
    fn multipart<'a>(
        &'a self,
        path: &'a str,
        lock: Lock,
        class: Option<&'a str>,
    ) -> Answer<'a, Box<dyn MultipartUpload>>;
    /// Whether versions are kept.
    fn versioning(&self) -> Answer<'_, Versioning>;
    /// Whether objects can be locked.
    fn object_lock(&self) -> Answer<'_, ObjectLock>;
    /// How the store encrypts new objects: the name of the algorithm.
    fn encryption(&self) -> Answer<'_, Option<String>>;
    /// The bucket into which the store logs each access.
    fn access_log(&self) -> Answer<'_, Option<String>>;
    /// Whether the bucket blocks every kind of public access.
    fn blocks_public_access(&self) -> Answer<'_, bool>;
    /// Whether its policy makes it public.
    fn is_public(&self) -> Answer<'_, bool>;
}

/// Where a bucket is.
#[cfg_attr(not(feature = "aws-sdk"), allow(dead_code))] // nothing opens it then
pub(super) struct Place {
    pub(super) bucket: String,
    /// Without the bucket, also where the bucket is in the host name.
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
}

/// Opens a bucket for its versions and locks; sends no request. `None` where Lifeboat was built without it.
#[cfg(feature = "aws-sdk")]
pub(super) fn open(
    place: Place,
    options: &StoreOptions,
    http: &HttpClient,
    credentials: &AwsCredentialProvider,
) -> Option<Arc<dyn VersionedBucket>> {
    Some(Arc::new(sdk::bucket::Bucket::new(place, options, http.clone(), credentials.clone())))
}

/// The credentials of a profile of `~/.aws`; reads nothing yet.
#[cfg(feature = "aws-sdk")]
pub(super) fn profile(name: &str, region: Option<&str>, http: HttpClient) -> Result<AwsCredentialProvider> {
    Ok(Arc::new(sdk::profile::Profile::new(name, region, http)))
}

#[cfg(not(feature = "aws-sdk"))]
pub(super) fn open(
    _: Place,
    _: &StoreOptions,
    _: &HttpClient,
    _: &AwsCredentialProvider,
) -> Option<Arc<dyn VersionedBucket>> {
    None
}

#[cfg(not(feature = "aws-sdk"))]
pub(super) fn profile(name: &str, _: Option<&str>, _: HttpClient) -> Result<AwsCredentialProvider> {
    Err(Error::new(
        Kind::Config,
        format!("cannot use the profile {name}: this lifeboat was built without the feature aws-sdk"),
    )
    .next("set repository.credentials_file instead of repository.profile"))
}
