//! Stores objects with a lock. A server may drop it in silence (several do so with large uploads), so it is
//! read back: an object without its lock counts as not stored.

use object_store::{MultipartUpload, PutPayload, UpdateVersion};

use super::super::fault::Call;
use super::super::remote::Remote;
use super::Lock;
use crate::clock;
use crate::error::{Error, Kind, Result};

impl Remote {
    /// A create-only put with this lock.
    pub(in super::super) async fn try_put_locked(
        &self,
        call: &Call,
        key: &str,
        data: PutPayload,
        lock: Lock,
        class: Option<&str>,
    ) -> Result<UpdateVersion> {
        let bucket = self.versioned("store with a lock", key)?;
        let path = self.path(key);
        let stored = call.run(bucket.put(path.as_ref(), data.into(), lock, class)).await?;
        self.bucket_seen();
        Ok(stored)
    }

    /// Begins a large object with this lock.
    pub(in super::super) async fn multipart_locked(
        &self,
        key: &str,
        lock: Lock,
        class: Option<&str>,
    ) -> Result<Box<dyn MultipartUpload>> {
        let bucket = self.versioned("store with a lock", key)?;
        let path = self.path(key);
        self.call("store", key, 0).run(bucket.multipart(path.as_ref(), lock, class)).await
    }

    /// Checks that this version, which was just stored, has its lock; sets it where the server dropped it.
    ///
    /// # Errors
    /// `Denied` where the server refuses; `Config` where it keeps no versions, or the lock is not kept.
    pub(in super::super) async fn assure(&self, key: &str, version: Option<&str>, lock: Lock) -> Result<()> {
        const EFFECT: &str = "the object is stored without the lock that it must have; nothing that needs it \
                              is published";
        const NEXT: &str = "run lifeboat doctor; docs/immutability.md says what the bucket needs";
        let bucket = self.versioned("lock", key)?;
        let path = self.path(key);
        let wrong = |why: String| {
            let what = format!("{key} in {} could not be locked: {why}", self.words.url);
            Error::new(Kind::Config, what).effect(EFFECT).next(NEXT)
        };
        let Some(id) = version else {
            return Err(wrong("the bucket keeps no versions".to_owned()));
        };
        let look = || async {
            let call = self.call("look at the lock of", key, 0);
            call.run(bucket.lock(path.as_ref(), Some(id))).await.map_err(|e| e.effect(EFFECT))
        };
        if look().await?.is_some_and(|found| found.covers(lock)) {
            return Ok(());
        }
        let call = self.call("lock", key, 0);
        call.run(bucket.set_lock(path.as_ref(), id, lock)).await.map_err(|e| e.effect(EFFECT))?;
        match look().await? {
            Some(found) if found.covers(lock) => Ok(()),
            Some(found) => Err(wrong(format!(
                "its lock was asked for until {} ({}), but is until {} ({})",
                clock::text(lock.until),
                lock.mode,
                clock::text(found.until),
                found.mode
            ))),
            None => Err(wrong("it has no lock although one was asked for".to_owned())),
        }
    }
}
