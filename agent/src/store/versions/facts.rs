//! What a bucket says of itself.

use super::super::Store;
use super::{ObjectLock, Versioning};
use crate::error::Result;

/// What a bucket says of itself. Each answer may be missing on its own: a right is missing
/// ([`crate::error::Kind::Denied`]), or the server does not know the question.
#[derive(Debug)]
pub struct BucketFacts {
    /// Whether versions are kept.
    pub versioning: Result<Versioning>,
    /// Whether objects can be locked.
    pub object_lock: Result<ObjectLock>,
    /// The algorithm by which the store encrypts new objects.
    pub encryption: Result<Option<String>>,
    /// The bucket into which the store logs each access.
    pub access_log: Result<Option<String>>,
    /// Whether the bucket blocks every kind of public access.
    pub blocks_public_access: Result<bool>,
    /// Whether its policy makes it public.
    pub is_public: Result<bool>,
}

impl Store {
    /// Whether the bucket keeps versions.
    pub async fn versioning(&self) -> Result<Versioning> {
        const VERB: &str = "ask whether versions are kept in the bucket of";
        let (remote, bucket) = self.versioned(VERB, "")?;
        remote.call(VERB, "", 0).run(bucket.versioning()).await
    }

    /// Asks the bucket what it is; six small requests.
    ///
    /// # Errors
    /// [`crate::error::Kind::Config`] where this is no bucket of S3.
    pub async fn bucket_facts(&self) -> Result<BucketFacts> {
        const VERB: &str = "read the settings of the bucket of";
        let (remote, bucket) = self.versioned(VERB, "")?;
        let call = || remote.call(VERB, "", 0);
        Ok(BucketFacts {
            versioning: call().run(bucket.versioning()).await,
            object_lock: call().run(bucket.object_lock()).await,
            encryption: call().run(bucket.encryption()).await,
            access_log: call().run(bucket.access_log()).await,
            blocks_public_access: call().run(bucket.blocks_public_access()).await,
            is_public: call().run(bucket.is_public()).await,
        })
    }
}
