//! Reads one version of an object.

use std::ops::Range;

use bytes::Bytes;

use super::super::remote::Remote;
use super::super::{Store, Streamed, key};
use super::VersionId;
use crate::error::Result;

impl Store {
    /// [`Store::get`] of a version, also of one that was overwritten or is hidden by a delete marker.
    pub async fn get_version(&self, key: &str, id: &VersionId, bytes_max: u64) -> Result<Bytes> {
        let remote = self.checked(key)?;
        Ok(remote.get(key, Some(id), bytes_max).await?.data)
    }

    /// [`Store::get_range`] of a version.
    pub async fn get_version_range(&self, key: &str, id: &VersionId, range: Range<u64>) -> Result<Bytes> {
        let remote = self.checked(key)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        remote.get_range(key, Some(id), range).await
    }

    /// [`Store::get_stream`] of a version.
    pub async fn get_version_stream(&self, key: &str, id: &VersionId) -> Result<Streamed> {
        self.checked(key)?.get_stream(key, Some(id)).await
    }

    fn checked(&self, key: &str) -> Result<&Remote> {
        key::check(key)?;
        Ok(self.versioned("read a version of", key)?.0)
    }
}
