//! Stores objects in a bucket: create-only and conditional puts, and what to do when an answer was lost.

use std::time::Duration;

use object_store::{Attribute, Attributes, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

use super::fault::{Call, is_archived};
use super::remote::Remote;
use super::{Given, Version};
use crate::clock;
use crate::error::{Kind, Result};

const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What exists where a put was refused.
enum Existing {
    Ours(UpdateVersion),
    Another,
    Nothing,
}

/// The attributes of a new object of this storage class.
pub(super) fn attributes(class: Option<&str>) -> Attributes {
    class.map(|class| (Attribute::StorageClass, class.to_owned())).into_iter().collect()
}

impl Remote {
    /// See [`super::Store::put_new`].
    pub(super) async fn put_new(&self, key: &str, data: PutPayload, given: &Given) -> Result<()> {
        let stored = self.put(key, data, PutMode::Create, given).await?;
        match given.lock {
            Some(lock) => self.assure(key, stored.version.as_deref(), lock).await,
            None => Ok(()),
        }
    }

    /// See [`super::Store::replace`].
    pub(super) async fn replace(
        &self,
        key: &str,
        data: bytes::Bytes,
        expected: Option<&Version>,
    ) -> Result<Version> {
        let mode = match expected {
            None => PutMode::Create,
            Some(version) => PutMode::Update(version.0.clone()),
        };
        let stored = self.put(key, data.into(), mode, &Given::default()).await;
        // To the caller both are the same: another writer was there first.
        stored.map(Version).map_err(|e| match e.kind() {
            Kind::AlreadyExists => e.with_kind(Kind::Conflict),
            _ => e,
        })
    }

    async fn try_put(
        &self,
        call: &Call,
        key: &str,
        data: PutPayload,
        mode: PutMode,
        Given { lock, class }: &Given,
    ) -> Result<UpdateVersion> {
        if let Some(lock) = lock {
            return self.try_put_locked(call, key, data, *lock, class.as_deref()).await;
        }
        let path = self.path(key);
        let options = PutOptions { mode, attributes: attributes(class.as_deref()), ..PutOptions::default() };
        let stored = call.run(self.objects.put_opts(&path, data, options)).await?;
        self.bucket_seen();
        Ok(UpdateVersion { e_tag: stored.e_tag, version: stored.version })
    }

    /// Puts until the result is known. A condition that fails may have failed because of our own earlier try,
    /// whose answer was lost; so the existing object is read and compared.
    async fn put(&self, key: &str, data: PutPayload, mode: PutMode, given: &Given) -> Result<UpdateVersion> {
        let call = self.call("store", key, data.content_length() as u64);
        let mut backoff = BACKOFF;
        for round in 0.. {
            let lost_before = call.lost();
            let error = match self.try_put(&call, key, data.clone(), mode.clone(), given).await {
                Ok(version) => return Ok(version),
                Err(e) => e,
            };
            match error.kind() {
                Kind::AlreadyExists | Kind::Conflict => match self.existing(key, &data, given).await? {
                    Existing::Ours(version) => return Ok(version),
                    Existing::Another => return Err(error),
                    // Two creations at the same moment can both be refused (S3 answers 409).
                    Existing::Nothing if matches!(mode, PutMode::Create) => {}
                    Existing::Nothing => return Err(error),
                },
                // A client that may create but not overwrite (a SAS with c and without w, Google's
                // objectCreator) gets 403 where the object exists, before any condition is checked.
                Kind::Denied if matches!(mode, PutMode::Create) => {
                    return match self.existing(key, &data, given).await {
                        Ok(Existing::Ours(version)) => Ok(version),
                        Ok(Existing::Another) => {
                            Err(call.fail(Kind::AlreadyExists, "another object is already stored there"))
                        }
                        _ => Err(error),
                    };
                }
                // object_store does not repeat a request that may have been carried out; here it is safe.
                Kind::Unreachable if call.lost() > lost_before => {}
                _ => return Err(error),
            }
            if round >= self.limits.retries_max || call.elapsed() >= self.limits.retry_deadline {
                return Err(error);
            }
            clock::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        unreachable!("the loop above has no end")
    }

    async fn existing(&self, key: &str, data: &PutPayload, given: &Given) -> Result<Existing> {
        let expected = data.content_length() as u64;
        let path = self.path(key);
        let found = match self.call("read", key, 0).run(self.objects.head(&path)).await {
            Ok(meta) if meta.size != expected => return Ok(Existing::Another),
            Ok(meta) => match self.get(key, None, expected).await {
                // It cannot be compared now. Its name is ours, as in `Upload::finish`.
                Err(e) if is_archived(&e) && given.class.is_some() => {
                    return Ok(Existing::Ours(UpdateVersion { e_tag: meta.e_tag, version: meta.version }));
                }
                got => got,
            },
            Err(e) => Err(e),
        };
        match found {
            Ok(found) => Ok(match same(data, &found.data) {
                true => Existing::Ours(found.version.0),
                false => Existing::Another,
            }),
            Err(e) if e.kind() == Kind::NotFound => Ok(Existing::Nothing),
            Err(e) if e.kind() == Kind::Integrity => Ok(Existing::Another),
            Err(e) => {
                Err(e.context(format!("check whether {key} in {} is what was just stored", self.words.url)))
            }
        }
    }
}

fn same(data: &PutPayload, content: &[u8]) -> bool {
    let mut rest = content;
    data.iter().all(|piece| match rest.split_at_checked(piece.len()) {
        Some((head, tail)) => {
            rest = tail;
            head == piece.as_ref()
        }
        None => false,
    }) && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_compared_across_pieces() {
        let data: PutPayload = [bytes::Bytes::from("ab"), bytes::Bytes::from("c")].into_iter().collect();
        assert!(same(&data, b"abc"));
        for other in ["", "ab", "abd", "abcd"] {
            assert!(!same(&data, other.as_bytes()), "{other}");
        }
    }
}
