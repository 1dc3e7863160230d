//! The filestore of one tenant, incremental for ever: what is on disk is merged by name with
//! what the repository is known to hold; only new names are read.
//!
//! One thread walks and merges, N workers read and pack, and this one writes both indexes in
//! order: the snapshot's, and the next known filestore.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::archive::index::{self, Entry, Header, IndexWriter, Line};
use crate::archive::manifest::FilestoreFacts;
use crate::backup::batches::{self, Maker, Work};
use crate::backup::file_reader::{FileReader, ReadFile, mtime_ns};
use crate::backup::pace::Pace;
use crate::catalog::known::{self, Known, KnownReader, KnownWriter, StagedKnown};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::odoo::filestore::{WalkEntry, WalkKind, walk};
use crate::progress::Progress;
use crate::repository::pack_worker::PackWorker;
use crate::repository::writer::{SealedWriter, SnapshotWriter};

/// Files a batch: small enough to spread, large enough not to wait for each other.
const BATCH_FILES: usize = 128;
/// Known files cost nothing, so more of them go together.
const BATCH_ITEMS: usize = 2048;
/// Problems that are told one by one.
const PROBLEMS_TOLD_MAX: usize = 1000;

/// What to sync, and upon what.
pub struct Sync<'a> {
    /// `data_dir/filestore/<tenant>`.
    pub dir: &'a Path,
    /// Where the known filestore is kept.
    pub known_file: &'a Path,
    /// The known filestore, already checked to fit the repository; or why there is none.
    pub known: std::result::Result<KnownReader, Option<String>>,
    /// Reading and packing threads.
    pub workers: usize,
    /// Longest chain of indexes.
    pub chain_max: u32,
    /// How fast, and whether to stop.
    pub pace: &'a Pace,
    /// Where bytes and files are counted.
    pub progress: &'a Progress,
}

/// What came of it; nothing is published yet.
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
}

/// Why a sync ended without a result.
pub enum Failure {
    /// The known filestore broke in the middle: try again without it.
    KnownDamaged(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Other(e)
    }
}

enum Item {
    Keep(Entry),
    Read { file: PathBuf, path: String, sha1: Option<String>, replaces: bool },
    Removed(String),
    Problem { text: String, removes: Option<String> },
}

enum Done {
    Keep(Entry),
    New(Entry),
    Removed(String),
    Nothing,
    Problem { text: String, removes: Option<String> },
}

/// How entries of the parent are taken over: which of its sources are still named, and where.
struct Base {
    table: Vec<SnapshotId>,
    renumber: Vec<Option<u32>>,
    complete: bool,
    chain: Vec<SnapshotId>,
    parent: Option<SnapshotId>,
    full_because: Option<String>,
}

/// Runs the sync. Blocking, on a blocking thread of the runtime.
pub fn sync(snapshot: &Arc<SnapshotWriter>, sync: Sync<'_>) -> std::result::Result<Synced, Failure> {
    let (known, base) = begin(sync.known, snapshot.id(), sync.chain_max);
    let own = base.table.len() as u32 - 1;
    let header = Header::new(base.complete, base.table.clone());
    let known_broke = AtomicBool::new(false);
    let (maker, work, results) = batches::channel::<Vec<Item>, Result<Vec<Done>>>();
    let outcome = std::thread::scope(|scope| -> Result<Tally> {
        let merge = scope.spawn(|| merge(maker, sync.dir, known, &base.renumber, &known_broke, sync.pace));
        let workers: Vec<_> = (0..sync.workers.max(1))
            .map(|_| {
                let (work, snapshot) = (work.clone(), snapshot.clone());
                scope.spawn(move || pack(work, snapshot, own, sync.pace, sync.progress))
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
        merged?;
        Ok(tally)
    });
    let tally = outcome.map_err(|e| match known_broke.load(Ordering::Relaxed) {
        true => Failure::KnownDamaged(e),
        false => Failure::Other(e),
    })?;
    Ok(tally.finish(snapshot, base)?)
}

fn panicked() -> Error {
    Error::new(Kind::Internal, "a thread of the filestore sync panicked")
}

fn begin(
    known: std::result::Result<KnownReader, Option<String>>,
    id: &SnapshotId,
    chain_max: u32,
) -> (Option<KnownReader>, Base) {
    let own = id.clone();
    match known {
        Err(full_because) => {
            let base = Base {
                table: vec![own.clone()],
                renumber: Vec::new(),
                complete: true,
                chain: vec![own],
                parent: None,
                full_because,
            };
            (None, base)
        }
        Ok(reader) => {
            let complete = reader.known.chain.len() as u32 >= chain_max.max(1);
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
            (Some(reader), Base { table, renumber, complete, chain, parent, full_because: None })
        }
    }
}

/// Walks the directory and the known files side by side.
fn merge(
    maker: Maker<Vec<Item>, Result<Vec<Done>>>,
    dir: &Path,
    known: Option<KnownReader>,
    renumber: &[Option<u32>],
    known_broke: &AtomicBool,
    pace: &Pace,
) -> Result<()> {
    let mut known = known.map(|k| k.index).into_iter().flatten().map(|line| {
        let entry = line.and_then(|line| match line {
            Line::File(mut entry) => {
                for part in &mut entry.parts {
                    part.snapshot =
                        renumber.get(part.snapshot as usize).copied().flatten().ok_or_else(|| {
                            Error::new(
                                Kind::Integrity,
                                format!("known file {} lies in no known snapshot", entry.path),
                            )
                        })?;
                }
                Ok(entry)
            }
            Line::Removed(path) => {
                Err(Error::new(Kind::Integrity, format!("the known filestore holds a removed file: {path}")))
            }
        });
        entry.inspect_err(|_| known_broke.store(true, Ordering::Relaxed))
    });
    let mut next_known = known.next().transpose()?;
    // Odoo makes the directory with the first file: a tenant that keeps its attachments in the
    // database has none. Where files are known, one that is not there is an error of the walk.
    if next_known.is_none() && disk::metadata(dir)?.is_none() {
        return Ok(());
    }
    let mut batch = Batch { maker, items: Vec::new(), reads: 0, gone: false };
    walk(dir, &mut |entry: WalkEntry| {
        pace.stop_if_cancelled()?;
        while let Some(old) = next_known.take_if(|old| old.path < entry.path) {
            batch.add(Item::Removed(old.path));
            next_known = known.next().transpose()?;
        }
        let old = next_known.take_if(|old| old.path == entry.path);
        if old.is_some() {
            next_known = known.next().transpose()?;
        }
        batch.add(decide(entry, old)?);
        if batch.gone {
            return Err(Error::new(Kind::Interrupted, "the filestore sync ended early"));
        }
        Ok(())
    })?;
    while let Some(old) = next_known {
        batch.add(Item::Removed(old.path));
        next_known = known.next().transpose()?;
    }
    batch.flush();
    Ok(())
}

/// A known blob is its name; everything else is known by size and modification time.
fn decide(entry: WalkEntry, old: Option<Entry>) -> Result<Item> {
    let removes = old.as_ref().map(|old| old.path.clone());
    match &entry.kind {
        WalkKind::File => {}
        WalkKind::Skipped(what) => {
            return Ok(Item::Problem { text: format!("{}: a {what}, passed over", entry.path), removes });
        }
        WalkKind::Unreadable(e) => return Ok(Item::Problem { text: format!("{e:?}"), removes }),
    }
    let replaces = old.is_some();
    if let Some(old) = old {
        if entry.blob.is_some() && old.flaw.is_none() {
            return Ok(Item::Keep(old));
        }
        match entry.metadata() {
            Ok(Some(meta)) if meta.len() == old.bytes && mtime_ns(&meta) == old.mtime_ns => {
                return Ok(Item::Keep(old));
            }
            _ => {} // reading tells what is wrong with it
        }
    }
    let sha1 = entry.blob.map(|blob| blob.sha1_hex());
    Ok(Item::Read { file: entry.location, path: entry.path, sha1, replaces })
}

struct Batch {
    maker: Maker<Vec<Item>, Result<Vec<Done>>>,
    items: Vec<Item>,
    reads: usize,
    gone: bool,
}

impl Batch {
    fn add(&mut self, item: Item) {
        self.reads += usize::from(matches!(item, Item::Read { .. }));
        self.items.push(item);
        if self.reads >= BATCH_FILES || self.items.len() >= BATCH_ITEMS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.reads = 0;
        let items = std::mem::take(&mut self.items);
        self.gone |= !items.is_empty() && !self.maker.send(items);
    }
}

/// One worker: reads the new files of its batches into its own packs.
fn pack(
    work: Work<Vec<Item>, Result<Vec<Done>>>,
    snapshot: Arc<SnapshotWriter>,
    own: u32,
    pace: &Pace,
    progress: &Progress,
) -> Result<()> {
    let mut worker = PackWorker::new(snapshot)?;
    let mut reader = FileReader::new(&mut worker, pace, own);
    while let Some((items, done)) = work.take() {
        let result =
            items.into_iter().map(|item| read_item(&mut reader, item, progress)).collect::<Result<Vec<_>>>();
        let failed = result.is_err();
        if done.send(result).is_err() || failed {
            return Ok(()); // the writer has the error, or is gone with one of its own
        }
    }
    worker.finish()
}

fn read_item(reader: &mut FileReader<'_>, item: Item, progress: &Progress) -> Result<Done> {
    Ok(match item {
        Item::Keep(entry) => {
            progress.add_files(1);
            Done::Keep(entry)
        }
        Item::Removed(path) => Done::Removed(path),
        Item::Problem { text, removes } => Done::Problem { text, removes },
        Item::Read { file, path, sha1, replaces } => match reader.read(&file, &path, sha1.as_deref())? {
            ReadFile::Stored(entry) => {
                progress.add_files(1);
                progress.add_bytes(entry.bytes);
                Done::New(entry)
            }
            ReadFile::Vanished if replaces => Done::Removed(path),
            ReadFile::Vanished => Done::Nothing,
            ReadFile::Unreadable(text) => Done::Problem { text, removes: replaces.then_some(path) },
        },
    })
}

/// Writes both indexes and counts.
struct Tally<'a> {
    index: IndexWriter<SealedWriter<'a>>,
    known: KnownWriter,
    used: Vec<u64>,
    files: u64,
    bytes: u64,
    new_files: u64,
    new_bytes: u64,
    problems: Vec<String>,
    problem_files: u64,
}

impl<'a> Tally<'a> {
    fn begin(snapshot: &'a SnapshotWriter, known_file: &Path, header: &Header) -> Result<Tally<'a>> {
        Ok(Tally {
            index: IndexWriter::new(snapshot.sealed_writer(index::NAME)?, header)?,
            known: KnownWriter::create(known_file, &Header::new(true, header.snapshots.clone()))?,
            used: vec![0; header.snapshots.len()],
            files: 0,
            bytes: 0,
            new_files: 0,
            new_bytes: 0,
            problems: Vec::new(),
            problem_files: 0,
        })
    }

    fn add(&mut self, batch: Vec<Done>, complete: bool) -> Result<()> {
        for done in batch {
            let (entry, new) = match done {
                Done::Keep(entry) => (entry, false),
                Done::New(entry) => (entry, true),
                Done::Removed(path) => {
                    self.removed(path, complete)?;
                    continue;
                }
                Done::Nothing => continue,
                Done::Problem { text, removes } => {
                    self.problem(text);
                    if let Some(path) = removes {
                        self.removed(path, complete)?;
                    }
                    continue;
                }
            };
            self.files += 1;
            self.bytes += entry.bytes;
            self.new_files += u64::from(new);
            self.new_bytes += if new { entry.bytes } else { 0 };
            for part in &entry.parts {
                self.used[part.snapshot as usize] += 1;
            }
            if let Some(flaw) = &entry.flaw {
                self.problem(format!("{}: {flaw}", entry.path));
            }
            let line = Line::File(entry);
            self.known.write(&line)?;
            if new || complete {
                self.index.write(&line)?;
            }
        }
        Ok(())
    }

    fn removed(&mut self, path: String, complete: bool) -> Result<()> {
        if complete { Ok(()) } else { self.index.write(&Line::Removed(path)) }
    }

    fn problem(&mut self, text: String) {
        self.problem_files += 1;
        if self.problems.len() < PROBLEMS_TOLD_MAX {
            self.problems.push(text);
        }
    }

    fn finish(self, snapshot: &SnapshotWriter, base: Base) -> Result<Synced> {
        self.index.into_inner().finish()?;
        let staged = self.known.end()?;
        let sources: Vec<SnapshotId> = base
            .table
            .iter()
            .zip(&self.used)
            .filter(|(_, used)| **used > 0)
            .map(|(id, _)| id.clone())
            .collect();
        let facts = FilestoreFacts {
            complete: base.complete,
            index_chain: base.chain.clone(),
            sources: sources.clone(),
            files: self.files,
            bytes: self.bytes,
            new_files: self.new_files,
            full_because: base.full_because,
            problems: self.problems,
            problem_files: self.problem_files,
        };
        let known = Known {
            known: 1,
            repository: snapshot.repository().id().to_owned(),
            snapshot: snapshot.id().clone(),
            chain: base.chain,
            sources,
        };
        Ok(Synced { facts, parent: base.parent, staged, known, plain_bytes: self.new_bytes })
    }
}

/// Opens the known filestore and checks that it speaks of this repository and of snapshots that
/// are still there; otherwise tells why the filestore is read in full (`None`: the first time).
pub fn open_known(
    file: &Path,
    repository_id: &str,
    snapshots: &[SnapshotId],
) -> std::result::Result<KnownReader, Option<String>> {
    match known::open(file) {
        Ok(None) if snapshots.iter().any(|id| id.as_str().contains("-filestore-")) => {
            Err(Some("this host's state directory knows nothing of this tenant".into()))
        }
        Ok(None) => Err(None),
        Err(e) => Err(Some(format!("{e:?}"))),
        Ok(Some(reader)) if reader.known.repository != repository_id => {
            Err(Some(format!("the state directory speaks of repository {}", reader.known.repository)))
        }
        Ok(Some(reader)) => {
            let needed = reader.known.chain.iter().chain(&reader.known.sources);
            match needed.into_iter().find(|id| snapshots.binary_search(id).is_err()) {
                Some(gone) => Err(Some(format!("snapshot {gone}, which it builds upon, is no longer there"))),
                None => Ok(reader),
            }
        }
    }
}
