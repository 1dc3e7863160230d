//! Stores WAL: never twice, and never with two contents for the same bytes.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::compare::{Beginning, Content, Reader, missing, missing_of_beginning};
use super::{Foreign, Listed, WalObject};
use crate::archive::signature::TrustedKeys;
use crate::archive::wal::{CONTENT_BYTES_MAX, Scratch, WalName, WalSealer};
use crate::archive::wal_extent::{Extent, extent};
use crate::archive::wal_name::NameTrust;
use crate::error::{Error, Kind, Result};
use crate::names::wal::WalFile;
use crate::repository::{Repository, layout};

/// The result of storing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is durable now.
    Stored,
    /// The same bytes were already stored.
    WasThere,
    /// More of the file was already stored. Without a key the two cannot be compared.
    NotCompared,
}

/// Writes WAL of one instance. Cheap to clone.
#[derive(Clone)]
pub struct WalWriter {
    repository: Repository,
    sealer: Arc<WalSealer>,
    trust: NameTrust,
    sealing: Arc<Sealing>,
}

impl WalWriter {
    /// A writer; the sealer's origin is that of `repository` ([`Repository::bind`]). Stored objects count
    /// where the sealer's key or one of `trusted` signed their names.
    pub fn new(repository: Repository, sealer: WalSealer, trusted: TrustedKeys) -> WalWriter {
        let sealing = Arc::new(Sealing::at_once(Semaphore::MAX_PERMITS));
        let trust = NameTrust::new(&sealer.origin, Some(trusted.with(&sealer.signing)));
        WalWriter { repository, sealer: Arc::new(sealer), trust, sealing }
    }

    /// Of the files that are stored at once, only so many are read and encrypted at once; the others are
    /// being uploaded.
    pub fn sealing_at_once(self, most: usize) -> WalWriter {
        WalWriter { sealing: Arc::new(Sealing::at_once(most)), ..self }
    }

    pub(super) fn sealer(&self) -> &WalSealer {
        &self.sealer
    }

    /// The repository that it writes.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Which names count for it.
    pub fn trust(&self) -> &NameTrust {
        &self.trust
    }

    /// Stores a whole file, durable when this returns: as one object, or as several of
    /// [`CONTENT_BYTES_MAX`](crate::archive::wal::CONTENT_BYTES_MAX) each. Idempotent; what is already stored
    /// is compared by the digests in its names, including pieces of a growing tail.
    ///
    /// # Errors
    /// `AlreadyExists` where other bytes are stored as the same file: two clusters, or one and its clone,
    /// store WAL as one instance.
    pub async fn put_file(&self, file: WalFile, content: Arc<dyn Content>) -> Result<Put> {
        let there = self.stored(file).await?.names;
        let looked = content.clone();
        let missing = blocking(move || missing(file, looked.as_ref(), &there)).await?;
        self.put_ranges(file, content, missing).await
    }

    /// Stores a segment that may be incomplete, durable when this returns. `judge` decides how much of it
    /// counts, given how far it contains WAL. `None` means all of it, as [`WalWriter::put_file`] stores it.
    /// Otherwise only its beginning is stored: more of it will follow, or the rest has no meaning. What is
    /// already stored is compared as far as the content goes. Where something longer has these bytes, there
    /// is nothing to store, unless its digest proves that it has only a beginning of them.
    ///
    /// Where nothing of it is stored yet, it is read once: the bytes that `judge` was asked about are stored.
    ///
    /// # Errors
    /// As [`WalWriter::put_file`], and those of `judge`.
    pub async fn put_segment(
        &self,
        file: WalFile,
        content: Arc<dyn Content>,
        judge: impl FnOnce(Result<Extent>) -> Result<Option<Beginning>> + Send + 'static,
    ) -> Result<(Put, Option<Beginning>)> {
        let there = self.stored(file).await?.names;
        let all = content.bytes();
        if there.is_empty() && all as usize <= CONTENT_BYTES_MAX {
            let (sealer, sealing) = (self.sealer.clone(), self.sealing.clone());
            let sealed = self.sealing.run(move || {
                sealing.with_memory(|Memory { content: bytes, scratch }| {
                    content.range(0..all, bytes)?;
                    let beginning = judge(extent(bytes.as_slice()))?;
                    let counts = beginning.map_or(bytes.len(), |beginning| beginning.upto as usize);
                    let (name, stored) = sealer.seal_with(scratch, file, 0, &bytes[..counts])?;
                    Ok((Sealed { name, stored }, beginning))
                })
            });
            let (sealed, beginning) = sealed.await?;
            self.put_sealed(sealed).await?;
            return Ok((Put::Stored, beginning));
        }
        let looked = content.clone();
        let (missing, beginning) = blocking(move || {
            let content = looked.as_ref();
            let beginning = judge(extent(Reader::new(content)))?;
            let missing = match beginning {
                Some(beginning) => missing_of_beginning(file, content, beginning, &there)?,
                None => Some(missing(file, content, &there)?),
            };
            Ok((missing, beginning))
        })
        .await?;
        let put = match missing {
            Some(missing) => self.put_ranges(file, content, missing).await?,
            None => Put::NotCompared,
        };
        Ok((put, beginning))
    }

    async fn put_ranges(
        &self,
        file: WalFile,
        content: Arc<dyn Content>,
        missing: Vec<Range<u32>>,
    ) -> Result<Put> {
        let put = if missing.is_empty() { Put::WasThere } else { Put::Stored };
        for range in missing {
            let (sealer, content, sealing) = (self.sealer.clone(), content.clone(), self.sealing.clone());
            let sealed = self.sealing.run(move || {
                sealing.with_memory(|Memory { content: piece, scratch }| {
                    content.range(range.clone(), piece)?;
                    let (name, stored) = sealer.seal_with(scratch, file, range.start, piece)?;
                    Ok(Sealed { name, stored })
                })
            });
            self.put_sealed(sealed.await?).await?;
        }
        if let WalFile::History(timeline) = file {
            self.put_lineage(timeline, content).await?;
        }
        Ok(put)
    }

    /// What is stored of a file, made durable: the process that stored it may have been killed before it was.
    /// Names without a signature are from before names were signed, or made by anybody: they do not prevent
    /// storing.
    pub async fn stored(&self, file: WalFile) -> Result<Stored> {
        let Listed { signed, unsigned, mut foreign, .. } =
            self.repository.wal_of_file(file, &self.trust).await?;
        let key = |object: &WalObject| layout::wal_object(self.repository.instance(), &object.name);
        for object in &unsigned {
            foreign.add(key(object), "its name is not signed");
        }
        self.repository.store().make_durable(signed.iter().map(key).collect()).await?;
        Ok(Stored { names: signed.into_iter().map(|object| object.name).collect(), foreign })
    }

    /// Stores a range of a file without checking what is stored: for callers that know it and hold the lease.
    /// Durable when this returns.
    pub async fn put_range(&self, file: WalFile, begin: u32, content: Bytes) -> Result<WalName> {
        self.put_sealed(self.seal_range(file, begin, content).await?).await
    }

    /// [`WalWriter::put_range`] on this thread, for a small range that commits wait for: each hand-over to
    /// another thread waits its turn behind the server's own processes. `None` where the store is not a
    /// directory of this machine.
    pub fn put_range_here(&self, file: WalFile, begin: u32, content: &[u8]) -> Option<Result<WalName>> {
        let store = self.repository.store();
        store.local_root()?;
        let sealed = self
            .sealing
            .with_memory(|memory| self.sealer.seal_with(&mut memory.scratch, file, begin, content));
        let (name, stored) = match sealed {
            Ok(sealed) => sealed,
            Err(e) => return Some(Err(e)),
        };
        let key = layout::wal_object(self.repository.instance(), &name);
        Some(store.put_new_here(&key, &stored)?.map(|()| name))
    }

    /// The first half of [`WalWriter::put_range`]: nothing is stored yet.
    pub async fn seal_range(&self, file: WalFile, begin: u32, content: Bytes) -> Result<Sealed> {
        let (sealer, sealing) = (self.sealer.clone(), self.sealing.clone());
        let sealed = self.sealing.run(move || {
            sealing.with_memory(|memory| sealer.seal_with(&mut memory.scratch, file, begin, &content))
        });
        sealed.await.map(|(name, stored)| Sealed { name, stored })
    }

    /// The second half. Durable when this returns.
    pub async fn put_sealed(&self, Sealed { name, stored }: Sealed) -> Result<WalName> {
        let key = layout::wal_object(self.repository.instance(), &name);
        self.repository.for_wal().store().put_new(&key, stored).await?;
        Ok(name)
    }
}

/// What is stored of a file.
pub struct Stored {
    /// What counts, sorted by place.
    pub names: Vec<WalName>,
    /// What is ignored.
    pub foreign: Foreign,
}

/// How many files are read and encrypted at once, and the memory for this, which is reused.
struct Sealing {
    permits: Semaphore,
    memory: Mutex<Vec<Memory>>,
}

#[derive(Default)]
struct Memory {
    content: Vec<u8>,
    scratch: Scratch,
}

impl Sealing {
    fn at_once(most: usize) -> Sealing {
        Sealing { permits: Semaphore::new(most), memory: Mutex::default() }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _permit = self.permits.acquire().await; // it is never closed
        blocking(work).await
    }

    /// Memory in which work failed or panicked is not reused.
    fn with_memory<T>(&self, work: impl FnOnce(&mut Memory) -> Result<T>) -> Result<T> {
        let all = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = all().pop().unwrap_or_default();
        let done = work(&mut memory)?;
        all().push(memory);
        Ok(done)
    }
}

/// An object that is ready to be stored.
pub struct Sealed {
    pub(super) name: WalName,
    pub(super) stored: Vec<u8>,
}

/// Hashing and encryption, off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "a blocking task panicked").because(e)))
}
