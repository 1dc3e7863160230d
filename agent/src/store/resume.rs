//! Reads a body to its end over connections that break: continues where it broke.
//!
//! object_store resumes, too, but counts tries and time over the whole body; a dump that takes an hour to
//! read would fail at its second interruption.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::{GetOptions, GetRange, GetResult};

use super::remote::Remote;
use super::versions::VersionId;
use crate::clock;
use crate::error::{Error, Kind, Result};

/// A connection may break so often in a row before this much arrived.
const BREAKS_MAX: u32 = 5;
const PROGRESS_BYTES: u64 = 1 << 20;
const BACKOFF: Duration = Duration::from_millis(200);

struct Body {
    remote: Remote,
    key: String,
    id: Option<VersionId>,
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
    etag: Option<String>,
    start: u64,
    at: u64,
    end: u64,
    breaks: u32,
    /// Where `breaks` is counted from zero again.
    settled_at: u64,
    ended: bool,
}

/// The bytes of the answer's range, exactly; or an error.
pub(super) fn stream(
    remote: Remote,
    key: String,
    id: Option<VersionId>,
    found: GetResult,
) -> BoxStream<'static, Result<Bytes>> {
    let body = Body {
        remote,
        key,
        id,
        etag: found.meta.e_tag.clone(),
        start: found.range.start,
        at: found.range.start,
        end: found.range.end,
        breaks: 0,
        settled_at: found.range.start + PROGRESS_BYTES,
        ended: false,
        pieces: found.into_stream(),
    };
    stream::unfold(body, |mut body| async move {
        if body.ended {
            return None;
        }
        match body.next().await {
            Ok(Some(piece)) => Some((Ok(piece), body)),
            Ok(None) => None,
            Err(e) => {
                body.ended = true;
                Some((Err(e), body))
            }
        }
    })
    .boxed()
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let call = self.remote.call("read", &self.key, 0);
            let problem = match call.run(async { self.pieces.next().await.transpose() }).await {
                Ok(Some(piece)) if piece.is_empty() => continue,
                Ok(Some(piece)) => return self.took(piece).map(Some),
                // Also when the connection broke right after the last byte.
                _ if self.at == self.end => return Ok(None),
                Ok(None) => self.cut(),
                Err(e) => self.cut().because(e),
            };
            self.reopen(problem).await?;
        }
    }

    fn took(&mut self, piece: Bytes) -> Result<Bytes> {
        self.at += piece.len() as u64;
        if self.at > self.end {
            let what =
                format!("{} in {}: the server sent more than it announced", self.key, self.remote.words.url);
            return Err(Error::new(Kind::Integrity, what));
        }
        if self.at >= self.settled_at {
            self.breaks = 0;
            self.settled_at = self.at + PROGRESS_BYTES;
        }
        Ok(piece)
    }

    async fn reopen(&mut self, problem: Error) -> Result<()> {
        self.breaks += 1;
        // Without a tag it is not known whether the rest belongs to the same object.
        if self.breaks > BREAKS_MAX.min(self.remote.limits.retries_max as u32) || self.etag.is_none() {
            return Err(problem);
        }
        tracing::info!(key = self.key, at = self.at, "the connection broke; resuming");
        clock::sleep(BACKOFF * 2u32.pow(self.breaks)).await;
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.at..self.end)),
            if_match: self.etag.clone(),
            version: self.id.as_ref().map(|id| id.as_str().to_owned()),
            ..GetOptions::default()
        };
        let call = self.remote.call("read", &self.key, 0);
        let found = self.remote.ask(&call, &self.key, options).await.map_err(|e| {
            let kind = e.kind(); // denied or removed meanwhile
            self.cut().because(e).with_kind(kind)
        })?;
        if found.range != (self.at..self.end) || found.meta.e_tag != self.etag {
            return Err(problem);
        }
        self.pieces = found.into_stream();
        Ok(())
    }

    fn cut(&self) -> Error {
        cut(&self.key, &self.remote.words.url, self.at - self.start, self.end - self.start)
    }
}

/// The error for a body that ended before its announced length.
fn cut(key: &str, url: &str, got: u64, expected: u64) -> Error {
    Error::new(
        Kind::Unreachable,
        format!("the connection broke after {got} of {expected} bytes of {key} in {url}"),
    )
    .next("run again; if it fails again, run lifeboat verify: it checks whether the object is complete")
}
