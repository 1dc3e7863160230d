//! A bucket of S3 as it was at a moment: of each object the version that was current then. For what somebody
//! overwrote or deleted later; nothing can be stored through it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};

use super::versions::{ObjectVersion, VersionId, Versioning};
use super::{ObjectInfo, Store, Streamed, key};
use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};

/// Versions that are remembered from listings: a few hundred bytes each. Others are looked up again.
const KNOWN_MAX: usize = 200_000;

#[derive(Clone)]
pub(super) struct Past {
    /// The bucket as it is.
    present: Store,
    at: Timestamp,
    known: Arc<Mutex<HashMap<String, (VersionId, ObjectInfo)>>>,
}

impl Past {
    /// # Errors
    /// `Config` where the store has no versions, `Usage` for a time to come.
    pub(super) fn new(present: Store, at: Timestamp) -> Result<Past> {
        if !present.has_versions() {
            let what = format!("{} cannot be read as it was at {at}", present.url());
            return Err(Error::new(Kind::Config, what)
                .because("only a bucket of S3 keeps versions that Lifeboat can read")
                .next("leave out --as-of, or read a copy of the repository that was made at that time"));
        }
        if at > clock::now() {
            return Err(Error::new(Kind::Usage, format!("--as-of {at} has not come yet")));
        }
        Ok(Past { present, at, known: Arc::default() })
    }

    /// Whether the bucket keeps what is overwritten and deleted.
    ///
    /// # Errors
    /// `Config` where it does not: what is gone would look as if it had never been there.
    pub(super) async fn check(&self) -> Result<()> {
        match self.present.versioning().await {
            Ok(Versioning::Enabled | Versioning::Suspended) => Ok(()),
            Ok(Versioning::Off) => Err(Error::new(
                Kind::Config,
                format!("{} cannot be read as it was at {}", self.present.url(), self.at),
            )
            .because("the bucket keeps no versions: what was overwritten or deleted is gone")
            .next("leave out --as-of, or restore from a copy of the repository")),
            // The right to ask is not needed for reading.
            Err(e) if e.kind() == Kind::Denied => {
                tracing::warn!("whether the bucket keeps versions is not known: {}", e.line());
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    pub(super) fn list(&self, prefix: &str) -> BoxStream<'static, Result<ObjectInfo>> {
        let current = Current { past: self.clone(), key: None };
        self.present
            .versions(prefix)
            .scan(current, |current, version| future::ready(Some(version.map(|one| current.of(one)))))
            .try_filter_map(|found| future::ready(Ok(found.map(|(_, info)| info))))
            .boxed()
    }

    pub(super) async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        let mut listed = self.list(prefix);
        while let Some(info) = listed.try_next().await? {
            let Some((name, _)) = key::below(prefix, &info.key).and_then(|rest| rest.split_once('/')) else {
                continue;
            };
            // They come in order.
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectInfo>> {
        Ok(self.find(key).await?.map(|(_, info)| info))
    }

    pub(super) async fn get(&self, key: &str, bytes_max: u64) -> Result<Bytes> {
        let id = self.existing(key).await?;
        self.present.get_version(key, &id, bytes_max).await
    }

    pub(super) async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let id = self.existing(key).await?;
        self.present.get_version_range(key, &id, range).await
    }

    pub(super) async fn get_stream(&self, key: &str) -> Result<Streamed> {
        let id = self.existing(key).await?;
        self.present.get_version_stream(key, &id).await
    }

    pub(super) async fn now(&self, key: &str) -> Result<Option<Timestamp>> {
        Box::pin(self.present.now(key)).await
    }

    /// The error of everything that would change something.
    pub(super) fn refuse<T>(&self, verb: &str, key: &str) -> Result<T> {
        let what = format!("cannot {verb} {key} in {}", self.present.url());
        Err(Error::new(Kind::Refused, what)
            .because(format!("the repository is read as it was at {}", self.at))
            .safe("nothing was changed"))
    }

    /// The version that was current; `None` where there was none, or the object was deleted.
    async fn find(&self, key: &str) -> Result<Option<(VersionId, ObjectInfo)>> {
        if let Some(known) = self.known().get(key) {
            return Ok(Some(known.clone()));
        }
        let mut current = Current { past: self.clone(), key: None };
        let mut versions = self.present.versions_of(key);
        while let Some(version) = versions.try_next().await? {
            if let Some(found) = current.of(version) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn existing(&self, key: &str) -> Result<VersionId> {
        match self.find(key).await? {
            Some((id, _)) => Ok(id),
            None => Err(Error::new(
                Kind::NotFound,
                format!("{key} was not in {} at {}", self.present.url(), self.at),
            )),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, (VersionId, ObjectInfo)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes through versions by key, from the newest to the oldest, and takes the first that is old enough.
struct Current {
    past: Past,
    /// The key that is decided.
    key: Option<String>,
}

impl Current {
    /// This version, if it was the current one and no delete marker.
    fn of(&mut self, version: ObjectVersion) -> Option<(VersionId, ObjectInfo)> {
        let ObjectVersion { info, id, is_marker, .. } = version;
        if info.modified > self.past.at || self.key.as_ref() == Some(&info.key) {
            return None;
        }
        self.key = Some(info.key.clone());
        if is_marker {
            return None;
        }
        let mut known = self.past.known();
        if known.len() < KNOWN_MAX {
            known.insert(info.key.clone(), (id.clone(), info.clone()));
        }
        Some((id, info))
    }
}
