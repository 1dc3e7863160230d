//! Storing WAL: never twice, and never two truths about the same bytes.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Foreign, Listed, WalObject};
use crate::archive::signature::TrustedKeys;
use crate::archive::wal::{CONTENT_BYTES_MAX, HalfDigest, Scratch, WalName, WalSealer};
use crate::archive::wal_name::NameTrust;
use crate::error::{Error, Kind, Result};
use crate::names::wal::WalFile;
use crate::repository::wal::coverage::assemble;
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
    trust: NameTrust,
    sealing: Arc<Sealing>,
}

impl WalWriter {
    /// A writer; the sealer's origin is that of `repository` ([`Repository::bind`]). What it finds stored counts
    /// where the sealer's key or one of `trusted` signed its name.
    pub fn new(repository: Repository, sealer: WalSealer, trusted: TrustedKeys) -> WalWriter {
        let sealing = Arc::new(Sealing::at_once(Semaphore::MAX_PERMITS));
        let trust = NameTrust::new(&sealer.origin, Some(trusted.with(&sealer.signing)));
        WalWriter { repository, sealer: Arc::new(sealer), trust, sealing }
    }

    /// Of the files that are stored at once only so many are read and sealed at once; the others are on their way.
    pub fn sealing_at_once(self, most: usize) -> WalWriter {
        WalWriter { sealing: Arc::new(Sealing::at_once(most)), ..self }
    }

    pub(super) fn sealer(&self) -> &WalSealer {
        &self.sealer
    }

    /// Where it writes.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Which names count for it.
    pub fn trust(&self) -> &NameTrust {
        &self.trust
    }

    /// Stores a whole file, durably when this returns: as one object, or as several of
    /// [`CONTENT_BYTES_MAX`] each. Idempotent; what is there already is compared by the digests in
    /// its names, pieces of a growing tail included.
    ///
    /// # Errors
    /// `AlreadyExists` where other bytes are stored as the same file: two clusters, or one and
    /// its clone, write as one instance.
    pub async fn put_file(&self, file: WalFile, content: Arc<dyn Content>) -> Result<Put> {
        let there = self.stored(file).await?.names;
        let looked = content.clone();
        let missing = blocking(move || missing(file, looked.as_ref(), &there)).await?;
        self.put_ranges(file, content, missing).await
    }

    /// Stores the first bytes of a file, up to `upto`, durably when this returns: there will be more of it, or what
    /// comes there is of no meaning. What is there already is compared as far as the content goes; where something longer
    /// holds these bytes, there is nothing to store: without a key nobody can compare the two.
    ///
    /// # Errors
    /// As [`WalWriter::put_file`].
    pub async fn put_beginning(&self, file: WalFile, content: Arc<dyn Content>, upto: u32) -> Result<Put> {
        let there = self.stored(file).await?.names;
        let looked = content.clone();
        let missing = move || missing_of_beginning(file, looked.as_ref(), upto, &there);
        let missing = blocking(missing).await?;
        self.put_ranges(file, content, missing).await
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

    /// What is stored of a file, durably: whoever stored it may have been killed before he made sure of that. Names
    /// without a signature are from before names were signed, or anybody's: they are no reason not to store.
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

    /// Stores a range of a file without looking what is there: for whoever knows, holding the
    /// lease. Durable when this returns.
    pub async fn put_range(&self, file: WalFile, begin: u32, content: Bytes) -> Result<WalName> {
        self.put_sealed(self.seal_range(file, begin, content).await?).await
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
        self.repository.store().put_new(&key, stored).await?;
        Ok(name)
    }
}

/// What a writer finds of a file.
pub struct Stored {
    /// What counts, sorted by place.
    pub names: Vec<WalName>,
    /// What does not.
    pub foreign: Foreign,
}

/// How many files are read and sealed at once, and the memory that this takes, which is used again.
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

    /// What failed or panicked in it is not used again.
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

/// A file that is being stored, read range by range, so that a long one need not be in memory.
/// Blocking.
pub trait Content: Send + Sync {
    /// Its size.
    fn bytes(&self) -> u32;
    /// Bytes of it in place of what is in `into`; `range` lies within.
    fn range(&self, range: Range<u32>, into: &mut Vec<u8>) -> Result<()>;
}

impl Content for Bytes {
    fn bytes(&self) -> u32 {
        self.len() as u32
    }
    fn range(&self, range: Range<u32>, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.extend_from_slice(&self[range.start as usize..range.end as usize]);
        Ok(())
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
    let length = content.bytes();
    if let Some(longer) = there.iter().find(|name| name.end > length) {
        return Err(conflict(file, longer));
    }
    compare(file, content, there)?;
    let starts = (0..length).step_by(CONTENT_BYTES_MAX);
    let ranges = starts.map(|begin| begin..length.min(begin + CONTENT_BYTES_MAX as u32));
    let is_there = |range: &Range<u32>| there.iter().any(|name| (name.begin..name.end) == *range);
    Ok(ranges.filter(|range| !is_there(range)).collect())
}

/// The same of its beginning: what is there counts, however it was cut.
fn missing_of_beginning(
    file: WalFile,
    content: &dyn Content,
    upto: u32,
    there: &[WalName],
) -> Result<Vec<Range<u32>>> {
    compare(file, content, there)?;
    let mut begin = assemble(there).last().map_or(0, |name| name.end);
    let mut ranges = Vec::new();
    while begin < upto {
        let end = upto.min((begin + 1).next_multiple_of(CONTENT_BYTES_MAX as u32));
        ranges.push(begin..end);
        begin = end;
    }
    Ok(ranges)
}

/// Compares the content with what is there of it.
fn compare(file: WalFile, content: &dyn Content, there: &[WalName]) -> Result<()> {
    let mut piece = Vec::new();
    for name in there.iter().filter(|name| name.end <= content.bytes()) {
        content.range(name.begin..name.end, &mut piece)?;
        if HalfDigest::of(&piece) != name.plain {
            return Err(conflict(file, name));
        }
    }
    Ok(())
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
