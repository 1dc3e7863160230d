//! Backs up the filestore of one tenant, always incrementally: what is on disk is merged by name with what
//! the repository is known to hold; only new names are read.
//!
//! One thread walks and merges, N workers read and pack, and the calling thread writes both indexes in order:
//! the snapshot's, and the next known filestore.

pub mod compact;
mod item;
mod merge;
mod read;
mod sample;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::archive::index::Header;
use crate::archive::manifest::FilestoreFacts;
use crate::backup::batches;
use crate::backup::pace::Pace;
use crate::catalog::known::{self, Known, KnownReader, SourceBytes, StagedKnown};
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::progress::Progress;
use crate::repository::writer::SnapshotWriter;
use item::{Handled, Item};
use merge::merge;
use read::pack;
pub use sample::Sampled;
use tally::Tally;

/// What to back up, and what it builds on.
pub struct Sync<'a> {
    /// `data_dir/filestore/<tenant>`, for messages.
    pub place: &'a Path,
    /// The same, opened; `None` where it does not exist.
    pub dir: Option<&'a Dir>,
    /// Where the known filestore is kept.
    pub known_file: &'a Path,
    /// The known filestore, already checked to match the repository; or why there is none.
    pub known: std::result::Result<KnownReader, Option<String>>,
    /// Snapshots whose files are stored again, so that the next list need not name them.
    pub again: BTreeSet<SnapshotId>,
    /// Reading and packing threads.
    pub workers: usize,
    /// Longest chain of indexes.
    pub chain_max: u32,
    /// How fast, and whether to stop.
    pub pace: &'a Pace,
    /// Where bytes and files are counted.
    pub progress: &'a Progress,
}

/// The result; nothing is published yet.
pub struct Synced {
    /// For the manifest.
    pub facts: FilestoreFacts,
    /// Parent of the snapshot.
    pub parent: Option<SnapshotId>,
    /// The next known filestore, to be published after the manifest.
    pub staged: StagedKnown,
    /// Its first line.
    pub known: Known,
    /// Bytes read.
    pub plain_bytes: u64,
    /// How it differs from the known filestore.
    pub changes: Changes,
}

/// How a filestore differs from the known one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Known blobs that are still there.
    pub kept: u64,
    /// Known blobs that are gone.
    pub gone: u64,
    /// New files, whatever their names.
    pub new_files: u64,
    /// Some of the known blobs, read.
    pub sampled: Sampled,
}

/// Why it ended without a result.
pub enum Failure {
    /// The known filestore is damaged: try again without it.
    KnownDamaged(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Other(e)
    }
}

/// How entries of the parent are taken over: which of its sources are still referenced, and where.
struct Base {
    table: Vec<SnapshotId>,
    renumber: Vec<Option<u32>>,
    /// Of the same snapshots, whose files are stored again.
    again: Vec<bool>,
    held: BTreeMap<SnapshotId, SourceBytes>,
    complete: bool,
    chain: Vec<SnapshotId>,
    parent: Option<SnapshotId>,
    full_because: Option<String>,
}

/// Runs the sync. Blocking, on a blocking thread of the runtime.
pub fn sync(snapshot: &Arc<SnapshotWriter>, sync: Sync<'_>) -> std::result::Result<Synced, Failure> {
    let (known, base) = begin(sync.known, snapshot.id(), sync.chain_max, &sync.again);
    let own = base.table.len() as u32 - 1;
    let header = Header::new(base.complete, base.table.clone());
    let known_broke = AtomicBool::new(false);
    let (maker, work, results) = batches::channel::<Vec<Item>, Result<Vec<Handled>>>();
    let outcome = std::thread::scope(|scope| -> Result<(Tally, Sampled)> {
        let merge = scope.spawn(|| {
            merge(
                maker,
                (sync.place, sync.dir),
                known,
                (&base.renumber, &base.again),
                &known_broke,
                sync.pace,
            )
        });
        let workers: Vec<_> = (0..sync.workers.max(1))
            .map(|_| {
                let (work, snapshot) = (work.clone(), snapshot.clone());
                scope.spawn(move || pack(work, snapshot, (sync.dir, own), sync.pace, sync.progress))
            })
            .collect();
        drop(work);
        let mut tally = Tally::begin(snapshot, sync.known_file, &header)?;
        let mut written = Ok(());
        while let Some(batch) = results.next() {
            // A worker that died has its error in its handle, below.
            let Some(batch) = batch else { continue };
            written = batch.and_then(|done| tally.add(done, base.complete));
            if written.is_err() {
                break;
            }
        }
        drop(results); // a failed writer makes the others stop
        let merged = merge.join().unwrap_or_else(|_| Err(panicked()));
        let packed: Vec<_> =
            workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(panicked()))).collect();
        packed.into_iter().collect::<Result<Vec<()>>>()?;
        written?;
        Ok((tally, merged?))
    });
    let (tally, sampled) = outcome.map_err(|e| match known_broke.load(Ordering::Relaxed) {
        true => Failure::KnownDamaged(e),
        false => Failure::Other(e),
    })?;
    Ok(tally.finish(snapshot, base, sampled)?)
}

fn panicked() -> Error {
    Error::new(Kind::Internal, "a thread of the filestore backup panicked")
}

fn begin(
    known: std::result::Result<KnownReader, Option<String>>,
    id: &SnapshotId,
    chain_max: u32,
    stored_again: &BTreeSet<SnapshotId>,
) -> (Option<KnownReader>, Base) {
    let own = id.clone();
    match known {
        Err(full_because) => {
            let base = Base {
                table: vec![own.clone()],
                renumber: Vec::new(),
                again: Vec::new(),
                held: BTreeMap::new(),
                complete: true,
                chain: vec![own],
                parent: None,
                full_because,
            };
            (None, base)
        }
        Ok(reader) => {
            let is_long = reader.known.chain.len() as u32 >= chain_max.max(1);
            // A chain of indexes would need the snapshot that is to go.
            let complete = is_long || reader.known.chain.iter().any(|id| stored_again.contains(id));
            let again = reader.index.header().snapshots.iter().map(|id| stored_again.contains(id)).collect();
            let mut table = Vec::new();
            let renumber = reader.index.header().snapshots.iter().map(|source| {
                reader.known.sources.contains(source).then(|| {
                    table.push(source.clone());
                    table.len() as u32 - 1
                })
            });
            let renumber = renumber.collect();
            table.push(own.clone());
            let mut chain = if complete { Vec::new() } else { reader.known.chain.clone() };
            chain.push(own);
            let parent = Some(reader.known.snapshot.clone());
            // What cannot be stored again, such as a file that is damaged here, stays there: it is tried
            // once.
            let mut held = reader.known.held.clone();
            let tried = held.iter_mut().filter(|(id, _)| stored_again.contains(id));
            tried.for_each(|(_, one)| one.stored = Some(0));
            (Some(reader), Base { table, renumber, again, held, complete, chain, parent, full_because: None })
        }
    }
}

/// Opens the known filestore and checks that it is of this repository and of snapshots that still exist;
/// otherwise says why the filestore is read in full (`None`: the first time).
pub fn open_known(
    file: &Path,
    repository_id: &str,
    snapshots: &[SnapshotId],
) -> std::result::Result<KnownReader, Option<String>> {
    match known::open(file) {
        Ok(None) if snapshots.iter().any(|id| id.as_str().contains("-filestore-")) => {
            Err(Some("the state directory of this host has no record of this tenant".into()))
        }
        Ok(None) => Err(None),
        Err(e) => Err(Some(format!("{e:?}"))),
        Ok(Some(reader)) if reader.known.repository != repository_id => Err(Some(format!(
            "the record in the state directory is of another repository ({})",
            reader.known.repository
        ))),
        Ok(Some(reader)) => {
            let needed = reader.known.chain.iter().chain(&reader.known.sources);
            match needed.into_iter().find(|id| snapshots.binary_search(id).is_err()) {
                Some(gone) => Err(Some(format!(
                    "snapshot {gone}, which an incremental backup would need, is no longer stored"
                ))),
                None => Ok(reader),
            }
        }
    }
}
