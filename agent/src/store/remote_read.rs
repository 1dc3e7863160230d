//! Reads from a bucket.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::{GetOptions, GetRange, GetResult, UpdateVersion};

use super::fault::Call;
use super::remote::Remote;
use super::versions::VersionId;
use super::{Replaceable, Streamed, Version, resume};
use crate::clock;
use crate::error::{Kind, Result};

impl Remote {
    /// See [`super::Store::get`] and [`super::Store::get_versioned`].
    pub(super) async fn get(&self, key: &str, id: Option<&VersionId>, bytes_max: u64) -> Result<Replaceable> {
        let call = self.call("read", key, 0);
        let found = self.ask(&call, key, of_version(id)).await?;
        if found.meta.size > bytes_max {
            return Err(super::local::too_large(key, &self.words.url, found.meta.size, bytes_max));
        }
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let expected = found.meta.size;
        let modified = self.info(&found.meta).map_or_else(Default::default, |info| info.modified);
        let now = call.date().unwrap_or_else(clock::now);
        let data = collect(self, key, id, found, expected).await?;
        Ok(Replaceable { data, version: Version(version), modified, now })
    }

    /// See [`super::Store::get_versioned`].
    pub(super) async fn get_versioned(&self, key: &str, bytes_max: u64) -> Result<Option<Replaceable>> {
        match self.get(key, None, bytes_max).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.kind() == Kind::NotFound => self.check_bucket().await.map(|()| None),
            Err(e) => Err(e),
        }
    }

    /// See [`super::Store::get_range`].
    pub(super) async fn get_range(
        &self,
        key: &str,
        id: Option<&VersionId>,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let call = self.call("read", key, 0);
        let beyond = || call.fail(Kind::Integrity, &format!("it ends before byte {}", range.end));
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..of_version(id) };
        let found = match self.ask(&call, key, options).await {
            Ok(found) => found,
            // The store in memory refuses such a range without an HTTP status.
            Err(e) if e.kind() == Kind::Config && call.status() == 0 => return Err(beyond().because(e)),
            Err(e) if e.kind() == Kind::Integrity => return Err(beyond().because(e)),
            // azurite answers a range that begins at the very end with an empty part.
            Err(e) if call.status() == 206 => return Err(beyond().because(e)),
            Err(e) => return Err(e),
        };
        if found.range != range {
            return Err(beyond());
        }
        collect(self, key, id, found, range.end - range.start).await
    }

    /// See [`super::Store::get_stream`].
    pub(super) async fn get_stream(&self, key: &str, id: Option<&VersionId>) -> Result<Streamed> {
        let call = self.call("read", key, 0);
        let found = self.ask(&call, key, of_version(id)).await?;
        let info = self.info(&found.meta).ok_or_else(|| call.fail(Kind::Internal, "it is another object"))?;
        Ok((info, resume::stream(self.clone(), key.to_owned(), id.cloned(), found)))
    }

    /// Requests an object; a 404 for the bucket is recognized where the answer says so.
    pub(super) async fn ask(&self, call: &Call, key: &str, options: GetOptions) -> Result<GetResult> {
        let path = self.path(key);
        let found = call.run(self.objects.get_opts(&path, options)).await?;
        self.bucket_seen();
        Ok(found)
    }
}

/// Asks for a version; without one, for the latest.
fn of_version(id: Option<&VersionId>) -> GetOptions {
    GetOptions { version: id.map(|id| id.as_str().to_owned()), ..GetOptions::default() }
}

/// Reads a body that must have exactly `expected` bytes; the HTTP client limits the silence, and each piece
/// has its own call.
async fn collect(
    remote: &Remote,
    key: &str,
    id: Option<&VersionId>,
    found: GetResult,
    expected: u64,
) -> Result<Bytes> {
    let mut body = resume::stream(remote.clone(), key.to_owned(), id.cloned(), found);
    let Some(first) = body.try_next().await? else { return Ok(Bytes::new()) };
    if first.len() as u64 == expected {
        body.try_next().await?;
        return Ok(first);
    }
    // Allocated as it arrives, not as the server announces.
    let mut data = BytesMut::from(first.as_ref());
    while let Some(piece) = body.try_next().await? {
        data.extend_from_slice(&piece);
    }
    Ok(data.freeze())
}
