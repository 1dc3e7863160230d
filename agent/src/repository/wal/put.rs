//! Storing WAL: never twice, and never two truths about the same bytes.

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
    pub async fn put_file(&self, file: WalFile, content: Bytes) -> Result<Put> {
        let there = self.repository.wal_of_file(file).await?.objects;
        let there: Vec<WalName> = there.into_iter().map(|object| object.name).collect();
        let (content, missing) = blocking(move || {
            let missing = missing(file, &content, &there)?;
            Ok((content, missing))
        })
        .await?;
        let mut put = Put::WasThere;
        for begin in missing {
            let end = content.len().min(begin + CONTENT_BYTES_MAX);
            self.put_range(file, begin as u32, content.slice(begin..end)).await?;
            put = Put::Stored;
        }
        Ok(put)
    }

    /// Stores a range of a file without looking what is there: for whoever knows, holding the
    /// lease. Durable when this returns.
    pub async fn put_range(&self, file: WalFile, begin: u32, content: Bytes) -> Result<WalName> {
        let sealer = self.sealer.clone();
        let (name, stored) = blocking(move || sealer.seal(file, begin, &content)).await?;
        let key = layout::wal_object(self.repository.instance(), &name);
        self.repository.store().put_new(&key, stored).await?;
        Ok(name)
    }
}

/// The objects that are missing of a file with this content, by their first bytes.
fn missing(file: WalFile, content: &[u8], there: &[WalName]) -> Result<Vec<usize>> {
    for name in there {
        let same = content.get(name.begin as usize..name.end as usize).map(HalfDigest::of);
        // A piece of a tail may be newer than a file that was cut; a whole file never is.
        if same != Some(name.plain) {
            return Err(conflict(file, name));
        }
    }
    let starts = (0..content.len()).step_by(CONTENT_BYTES_MAX);
    let is_there = |begin: usize| {
        let end = content.len().min(begin + CONTENT_BYTES_MAX);
        there.iter().any(|name| (name.begin as usize, name.end as usize) == (begin, end))
    };
    Ok(starts.filter(|begin| !is_there(*begin)).collect())
}

/// The error of other bytes under the same name.
pub(super) fn conflict(file: WalFile, there: &WalName) -> Error {
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
