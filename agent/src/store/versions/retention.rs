//! Locks and legal holds of single versions.

use super::super::{Given, Store, key};
use super::{Lock, VersionId};
use crate::error::Result;

impl Store {
    /// The same store, whose new objects are locked like this: with the request that creates them, and read
    /// back afterwards. Where the lock is missing or shorter then, it is set and read back once more.
    ///
    /// Objects that are replaced ([`Store::replace`]) are not locked. Where the store has no locks, every
    /// write fails.
    pub fn locked(&self, lock: Lock) -> Store {
        Store { given: Given { lock: Some(lock), ..self.given.clone() }, ..self.clone() }
    }

    /// The lock of a version, or of the latest one; `None` where it has none, or the bucket has no locks.
    pub async fn version_lock(&self, key: &str, id: Option<&VersionId>) -> Result<Option<Lock>> {
        key::check(key)?;
        let (remote, bucket) = self.versioned("look at the lock of", key)?;
        let path = remote.path(key);
        remote
            .call("look at the lock of", key, 0)
            .run(bucket.lock(path.as_ref(), id.map(VersionId::as_str)))
            .await
    }

    /// Locks a version, or makes its lock longer. Idempotent. Making it shorter is tried as well: a store
    /// that keeps locks refuses that.
    ///
    /// # Errors
    /// [`crate::error::Kind::Denied`] where the store refuses.
    pub async fn set_version_lock(&self, key: &str, id: &VersionId, lock: Lock) -> Result<()> {
        key::check(key)?;
        let (remote, bucket) = self.versioned("lock", key)?;
        let path = remote.path(key);
        remote.call("lock", key, 0).run(bucket.set_lock(path.as_ref(), id.as_str(), lock)).await
    }

    /// Whether a version has a legal hold: until somebody lifts it, the store refuses to delete the version,
    /// whatever its lock says. `false` where the bucket has no locks.
    pub async fn legal_hold(&self, key: &str, id: &VersionId) -> Result<bool> {
        const VERB: &str = "look at the legal hold of";
        key::check(key)?;
        let (remote, bucket) = self.versioned(VERB, key)?;
        let path = remote.path(key);
        remote.call(VERB, key, 0).run(bucket.legal_hold(path.as_ref(), id.as_str())).await
    }

    /// Sets the legal hold of a version, or lifts it. Idempotent.
    ///
    /// # Errors
    /// [`crate::error::Kind::Denied`] where a right is missing; [`crate::error::Kind::Config`] where the
    /// store has no legal holds.
    pub async fn set_legal_hold(&self, key: &str, id: &VersionId, on: bool) -> Result<()> {
        let verb = if on { "set the legal hold of" } else { "lift the legal hold of" };
        key::check(key)?;
        let (remote, bucket) = self.versioned(verb, key)?;
        let path = remote.path(key);
        remote.call(verb, key, 0).run(bucket.set_legal_hold(path.as_ref(), id.as_str(), on)).await
    }
}
