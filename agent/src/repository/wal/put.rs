//! Storing WAL: never twice, and never two truths about the same bytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::archive::wal::{CONTENT_BYTES_MAX, HalfDigest, WalName, WalSealer};
use crate::error::{Error, Kind, Result};
use crate::names::wal::WalFile;
use crate::repository::{Repository, layout};

/// What came of storing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is durable now.
    Stored,
    /// The same bytes were there already.
    WasThere,
}

/// Writes WAL of one instance. Cheap to clone.
#[derive(Clone)]
pub struct WalWriter {
    repository: Repository,
    sealer: Arc<WalSealer>,
}

impl WalWriter {
    /// A writer; the sealer's origin is that of `repository` ([`Repository::bind`]).
    pub fn new(repository: Repository, sealer: WalSealer) -> WalWriter {
        WalWriter { repository, sealer: Arc::new(sealer) }
    }

    /// Where it writes.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Stores a whole file, durably when this returns: as one object, or as several of
    /// [`CONTENT_BYTES_MAX`] each. Idempotent; what is there already is compared by the digests in
    /// its names, pieces of a growing tail included.
    ///
    /// # Errors
    /// `AlreadyExists` where other bytes are stored as the same file: two clusters, or one and
    /// its clone, write as one instance.
    pub async fn put_file(&self, file: WalFile, content: Arc<dyn Content>) -> Result<Put> {
        let there = self.repository.wal_of_file(file).await?.objects;
        let there: Vec<WalName> = there.into_iter().map(|object| object.name).collect();
        let looked = content.clone();
        let missing = blocking(move || missing(file, looked.as_ref(), &there)).await?;
        let put = if missing.is_empty() { Put::WasThere } else { Put::Stored };
        for range in missing {
            let (begin, content) = (range.start, content.clone());
            let piece = blocking(move || content.range(range)).await?;
            self.put_range(file, begin, piece).await?;
        }
        Ok(put)
    }

    /// Stores a range of a file without looking what is there: for whoever knows, holding the
    /// lease. Durable when this returns.
    pub async fn put_range(&self, file: WalFile, begin: u32, content: Bytes) -> Result<WalName> {
        self.put_sealed(self.seal_range(file, begin, content).await?).await
    }

    /// The first half of [`WalWriter::put_range`]: nothing is stored yet.
    pub async fn seal_range(&self, file: WalFile, begin: u32, content: Bytes) -> Result<Sealed> {
        let sealer = self.sealer.clone();
        blocking(move || sealer.seal(file, begin, &content).map(|(name, stored)| Sealed { name, stored }))
            .await
    }

    /// The second half. Durable when this returns.
    pub async fn put_sealed(&self, Sealed { name, stored }: Sealed) -> Result<WalName> {
        let key = layout::wal_object(self.repository.instance(), &name);
        self.repository.store().put_new(&key, stored).await?;
        Ok(name)
    }
}

/// An object that is ready to be stored.
pub struct Sealed {
    name: WalName,
    stored: Vec<u8>,
}

/// A file that is being stored, read range by range, so that a long one need not be in memory.
/// Blocking.
pub trait Content: Send + Sync {
    /// Its size.
    fn bytes(&self) -> u32;
    /// Bytes of it; `range` lies within.
    fn range(&self, range: Range<u32>) -> Result<Bytes>;
}

impl Content for Bytes {
    fn bytes(&self) -> u32 {
        self.len() as u32
    }
    fn range(&self, range: Range<u32>) -> Result<Bytes> {
        Ok(self.slice(range.start as usize..range.end as usize))
    }
}

/// Checks stored objects of `file` against its bytes from `begin` on, as far as those go.
///
/// # Errors
/// `AlreadyExists` where one of them holds other bytes.
pub fn check_stored(file: WalFile, begin: u32, content: &[u8], there: &[WalName]) -> Result<()> {
    for name in there {
        let at = name.begin.checked_sub(begin).map(|at| at as usize);
        let same = at.and_then(|at| content.get(at..at + (name.end - name.begin) as usize));
        if same.is_some_and(|same| HalfDigest::of(same) != name.plain) {
            return Err(conflict(file, name));
        }
    }
    Ok(())
}

/// The ranges that are still to be stored of a file with this content.
fn missing(file: WalFile, content: &dyn Content, there: &[WalName]) -> Result<Vec<Range<u32>>> {
    for name in there {
        let same = name.end <= content.bytes()
            && HalfDigest::of(&content.range(name.begin..name.end)?) == name.plain;
        if !same {
            return Err(conflict(file, name));
        }
    }
    let length = content.bytes();
    let starts = (0..length).step_by(CONTENT_BYTES_MAX);
    let ranges = starts.map(|begin| begin..length.min(begin + CONTENT_BYTES_MAX as u32));
    let is_there = |range: &Range<u32>| there.iter().any(|name| (name.begin..name.end) == *range);
    Ok(ranges.filter(|range| !is_there(range)).collect())
}

/// The error of other bytes under the same name.
fn conflict(file: WalFile, there: &WalName) -> Error {
    Error::new(
        Kind::AlreadyExists,
        format!("bytes {} to {} of {file} are stored already, with other content", there.begin, there.end),
    )
    .because(format!("what is stored has SHA-256 {}…", there.plain))
    .effect("this file was not stored; what is stored was not touched, and its recovery window ends where the two part")
    .next("two servers write as one instance: a clone or a restored copy with archiving on? Turn it off there, or give it an instance name of its own")
    .safe("running again is safe and will fail alike")
}

/// Hashing and sealing, off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "a blocking task panicked").because(e)))
}
