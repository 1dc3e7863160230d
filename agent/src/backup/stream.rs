//! Stores one stream of unknown length (a dump) in packs: cut into extents as it arrives, each packed by any
//! free worker.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use sha2::Digest as _;

use crate::archive::digest::{FileDigest, Sha256};
use crate::archive::index::{self, Entry, Header, IndexWriter, Line, Part};
use crate::archive::pack::{EXTENT_BYTES, Member};
use crate::backup::pace::Pace;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::repository::pack_worker::{PackWorker, Stored};
use crate::repository::writer::SnapshotWriter;

/// Extents that wait for a worker.
const EXTENTS_WAITING_MAX: usize = 2;

/// Size and digest of what was stored.
pub struct Streamed {
    /// Size.
    pub bytes: u64,
    /// Digest.
    pub sha256: Sha256,
}

/// Stores all that `input` gives as the file `path`, and an index that names it. `tee` gets the same bytes;
/// an error of `tee` is an error of the whole. Blocking.
///
/// `Ok` says only that the stream ended: the caller must check that it was complete before the manifest is
/// published.
pub fn store(
    snapshot: &Arc<SnapshotWriter>,
    path: &str,
    input: &mut dyn Read,
    tee: &mut dyn Write,
    workers: usize,
    pace: &Pace,
    progress: &Progress,
) -> Result<Streamed> {
    let (sender, extents) = sync_channel::<(u64, Vec<u8>)>(EXTENTS_WAITING_MAX);
    let extents = Mutex::new(extents);
    let parts = Mutex::new(Vec::new());
    let now = clock::now();
    let streamed = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers.max(1))
            .map(|_| {
                let (extents, parts, snapshot) = (&extents, &parts, snapshot.clone());
                scope.spawn(move || -> Result<()> {
                    let mut worker = PackWorker::new(snapshot)?;
                    loop {
                        let next = extents.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((offset, data)) = next else { return worker.finish() };
                        let member = Member::Extent(path, offset);
                        let Stored { pack, frame, at } =
                            worker.append(member, 0o600, now.as_second(), &data)?;
                        let bytes = data.len() as u64;
                        progress.add_bytes(bytes);
                        let part = Part { snapshot: 0, pack, frame, at, offset, bytes };
                        parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
                    }
                })
            })
            .collect();
        let mut sha256 = sha2::Sha256::new();
        let mut bytes = 0;
        let mut read = || -> Result<()> {
            loop {
                let mut data = Vec::with_capacity(EXTENT_BYTES);
                input
                    .take(EXTENT_BYTES as u64)
                    .read_to_end(&mut data)
                    .map_err(|e| Error::carried(Kind::Io, format!("cannot read the stream of {path}"), e))?;
                if data.is_empty() && bytes > 0 {
                    return Ok(());
                }
                pace.take(data.len() as u64)?;
                sha256.update(&data);
                tee.write_all(&data)
                    .map_err(|e| Error::carried(Kind::Io, format!("cannot pass on {path}"), e))?;
                let (offset, last) = (bytes, data.len() < EXTENT_BYTES);
                bytes += data.len() as u64;
                // Where a worker failed, its own error is reported instead.
                if sender.send((offset, data)).is_err() || last {
                    return Ok(());
                }
            }
        };
        let outcome = read();
        drop(sender);
        for worker in workers {
            worker.join().unwrap_or_else(|_| {
                Err(Error::new(Kind::Internal, "a thread that packs the dump panicked"))
            })?;
        }
        outcome?;
        Ok::<_, Error>(Streamed { bytes, sha256: Sha256(sha256.finalize().into()) })
    })?;
    let mut parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    parts.sort_by_key(|part| part.offset);
    let entry = Entry {
        path: path.to_owned(),
        bytes: streamed.bytes,
        mode: 0o600,
        mtime_ns: now.as_second().saturating_mul(1_000_000_000),
        digest: FileDigest::Sha256(streamed.sha256),
        flaw: None,
        tenants: Vec::new(),
        parts,
    };
    let header = Header::new(true, vec![snapshot.id().clone()]);
    let mut index = IndexWriter::new(snapshot.sealed_writer(index::NAME)?, &header)?;
    index.write(&Line::File(entry))?;
    index.into_inner().finish()?;
    Ok(streamed)
}
