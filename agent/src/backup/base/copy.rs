//! The copy between start and stop: one thread walks the data directory and the known base backup side by
//! side, N workers read and pack, and the calling thread writes the next known base backup in order.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::archive::base::{Directory, LEFT_OUT_TOLD_MAX};
use crate::backup::base::cluster_files::{ClusterFile, ClusterWalk, WalkItem};
use crate::backup::base::packed::ReadBase;
use crate::backup::base::reader::{BaseReader, Compared, PageCheck};
use crate::backup::base::relation_files::fork_of;
use crate::backup::base::tally::{Copied, Listed, NOTES_MAX, Tally};
use crate::backup::base::times::Times;
use crate::backup::batches::{self, Maker, Work};
use crate::backup::pace::Pace;
use crate::catalog::known_base::{KnownBase, KnownBaseReader, KnownBaseWriter, KnownFile};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::page::PAGE_BYTES;
use crate::postgres::summaries::{CHUNK_BYTES, Touched, Written};
use crate::progress::Progress;
use crate::repository::pack_worker::PackWorker;
use crate::repository::writer::SnapshotWriter;

/// Files a batch, at most.
const BATCH_FILES: usize = 128;
/// A batch of more content than this goes out at once, so that large files spread.
const BATCH_BYTES: u64 = 16 << 20;
const SECOND_NS: i64 = 1_000_000_000;

/// What to copy, and the chain that it builds on.
pub struct Copy<'a> {
    /// What there is.
    pub walk: ClusterWalk<'a>,
    /// The chain's files; none for a full backup.
    pub old: Option<KnownBaseReader>,
    /// Where the next known base backup goes.
    pub known_file: &'a Path,
    /// Its first line.
    pub known: &'a KnownBase,
    /// What was written since the chain's last backup, where that is known: only that is read.
    pub written: Option<&'a Written>,
    /// Trust in the times of files, where they are trusted.
    pub times: Option<Times>,
    /// Gets the path of a file whose content changed although its times did not.
    pub not_as_its_times: &'a OnceLock<String>,
    /// How pages are checked, where they can be.
    pub pages: Option<PageCheck>,
    /// Reading and packing threads.
    pub workers: usize,
    /// How fast, and whether to stop.
    pub pace: &'a Pace,
    /// Where bytes and files are counted.
    pub progress: &'a Progress,
}

/// Why a copy ended without a result.
pub enum Failure {
    /// The known base backup is damaged: try again without it.
    KnownDamaged(Error),
    /// Anything else.
    Other(Error),
}

type Batch = Vec<(ClusterFile, Option<KnownFile>)>;
type ReadBatch = Result<Vec<ReadBase>>;

/// Runs the copy. Blocking, on a blocking thread of the runtime.
pub fn copy(snapshot: &Arc<SnapshotWriter>, copy: Copy<'_>) -> std::result::Result<Copied, Failure> {
    let own = copy.known.chain.len() as u32 - 1;
    let known_broke = AtomicBool::new(false);
    let (maker, work, results) = batches::channel::<Batch, ReadBatch>();
    let (walk, old, pace) = (&copy.walk, copy.old, copy.pace);
    let (pages, progress, times) = (copy.pages, copy.progress, copy.times);
    let (written_since, not_as_its_times) = (copy.written, copy.not_as_its_times);
    let outcome = std::thread::scope(|scope| -> Result<Copied> {
        let walker = scope.spawn(|| list(maker, walk, old, &known_broke, pace));
        let workers: Vec<_> = (0..copy.workers.max(1))
            .map(|_| {
                let (work, snapshot) = (work.clone(), snapshot.clone());
                scope.spawn(move || {
                    let reader = BaseReader::new(PackWorker::new(snapshot)?, pace, own, pages);
                    let disks = HashSet::new();
                    Packing { reader, written: written_since, times, disks, not_as_its_times }
                        .run(work, progress)
                })
            })
            .collect();
        drop(work);
        let mut tally = Tally::default();
        let mut known = KnownBaseWriter::create(copy.known_file, copy.known)?;
        let mut written = Ok(());
        while let Some(batch) = results.next() {
            let Some(batch) = batch else { continue }; // its worker's handle has the error
            written = batch.and_then(|done| {
                done.iter().try_for_each(|read| {
                    tally.add(read);
                    known.write(&read.known)
                })
            });
            if written.is_err() {
                break;
            }
        }
        drop(results); // a failed writer makes the others stop
        let panicked = || Error::new(Kind::Internal, "a thread of the base backup panicked");
        let listed = walker.join().unwrap_or_else(|_| Err(panicked()));
        let packed: Vec<_> =
            workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(panicked()))).collect();
        packed.into_iter().collect::<Result<Vec<()>>>()?;
        written?;
        Ok(tally.finish(listed?, known.end()?))
    });
    outcome.map_err(|e| match known_broke.load(Ordering::Relaxed) {
        true => Failure::KnownDamaged(e),
        false => Failure::Other(e),
    })
}

fn list(
    maker: Maker<Batch, ReadBatch>,
    walk: &ClusterWalk<'_>,
    old: Option<KnownBaseReader>,
    known_broke: &AtomicBool,
    pace: &Pace,
) -> Result<Listed> {
    let mut old = old
        .into_iter()
        .flatten()
        .map(|file| file.inspect_err(|_| known_broke.store(true, Ordering::Relaxed)))
        .peekable();
    let mut listed = Listed::default();
    let (mut batch, mut batch_bytes) = (Batch::new(), 0);
    let send = |batch: &mut Batch| match batch.is_empty() || maker.send(std::mem::take(batch)) {
        true => Ok(()),
        false => Err(Error::new(Kind::Interrupted, "the base backup was stopped")),
    };
    walk.run(&mut |found| {
        pace.stop_if_cancelled()?;
        let file = match found {
            WalkItem::File(file) => file,
            WalkItem::Directory(path, mode) => {
                listed.directories.push(Directory { path, mode });
                return Ok(());
            }
            WalkItem::Lost(what) => {
                if listed.odd.len() < LEFT_OUT_TOLD_MAX {
                    listed.odd.push(what);
                }
                return Ok(());
            }
            WalkItem::Odd(what) => {
                if listed.notes.len() < NOTES_MAX {
                    listed.notes.push(what);
                }
                return Ok(());
            }
        };
        let before = |known: &Result<KnownFile>| known.as_ref().is_ok_and(|k| k.entry.path < file.path);
        while old.next_if(before).is_some() {}
        let known =
            old.next_if(|known| !known.as_ref().is_ok_and(|k| k.entry.path != file.path)).transpose()?;
        batch_bytes += file.bytes;
        batch.push((file, known));
        if batch.len() >= BATCH_FILES || batch_bytes >= BATCH_BYTES {
            batch_bytes = 0;
            send(&mut batch)?;
        }
        Ok(())
    })?;
    // Its checksum is at its end: what was read of it can be trusted only when the end was reached.
    old.try_for_each(|known| known.map(drop))?;
    send(&mut batch)?;
    Ok(listed)
}

/// Which parts of a file may differ from what the chain holds. Summaries alone would say so, except for what
/// was written past WAL (a copy put there by hand): that changes size or time, and this is a sign only where
/// WAL wrote nothing.
fn touched<'w>(file: &ClusterFile, known: &KnownFile, written: &'w Written) -> Touched<'w> {
    let entry = &known.entry;
    let Some((fork, segment)) = fork_of(&file.path) else { return Touched::Anything };
    let several_blocks = entry.bytes > u64::from(known.block_bytes);
    let pages = file.bytes.is_multiple_of(PAGE_BYTES as u64) && entry.bytes.is_multiple_of(PAGE_BYTES as u64);
    if entry.flaw.is_some() || !pages || entry.bytes == 0 {
        return Touched::Anything; // bad pages must be listed again
    }
    // A server sends whole seconds.
    let same_time = entry.mtime_ns == file.mtime_ns
        || (entry.mtime_ns % SECOND_NS == 0 && entry.mtime_ns / SECOND_NS == file.mtime_ns / SECOND_NS);
    match written.touched(fork, segment) {
        Touched::Nothing if entry.bytes == file.bytes && same_time => Touched::Nothing,
        // No gain where most of it is read anyway; a file that grew without a gap has everything new at its
        // end.
        Touched::Chunks(chunks)
            if several_blocks
                && entry.bytes <= file.bytes
                && chunks.len() as u64 * CHUNK_BYTES * 2 <= file.bytes =>
        {
            Touched::Chunks(chunks)
        }
        _ => Touched::Anything,
    }
}

/// One worker: reads the files of its batches into its own packs.
struct Packing<'a> {
    reader: BaseReader<'a>,
    written: Option<&'a Written>,
    times: Option<Times>,
    /// Devices of file systems whose times can be trusted.
    disks: HashSet<u64>,
    not_as_its_times: &'a OnceLock<String>,
}

impl Packing<'_> {
    fn run(mut self, work: Work<Batch, ReadBatch>, progress: &Progress) -> Result<()> {
        while let Some((files, done)) = work.take() {
            let read = files.into_iter().map(|(file, known)| {
                let read = self.file(&file, known)?;
                progress.add_bytes(read.as_ref().map_or(0, |read| read.known.entry.bytes));
                progress.add_files(1);
                Ok(read)
            });
            let result: ReadBatch = read.filter_map(Result::transpose).collect();
            let failed = result.is_err();
            if done.send(result).is_err() || failed {
                return Ok(()); // the writer has the error, or is gone with one of its own
            }
        }
        self.reader.finish()
    }

    /// Reads those parts of the file that must be read; `None` where it no longer exists.
    fn file(&mut self, file: &ClusterFile, known: Option<KnownFile>) -> Result<Option<ReadBase>> {
        let Some(known) = known else { return self.reader.read(file, None) };
        if let Some(times) = self.times.filter(|times| times.hold(file, &known))
            && self.has_kernel_times(file)
        {
            match self.reader.compare(file, &known, times.sample(file))? {
                Compared::Same(bytes) => return Ok(Some(ReadBase::trusted(known, bytes))),
                Compared::Written => {}
                Compared::Differs => {
                    let what = format!(
                        "the content of {} changed although its times did not",
                        file.location.display()
                    );
                    let _ = self.not_as_its_times.set(file.path.clone()); // the first one is enough
                    return Err(Error::new(Kind::Incomplete, what));
                }
            }
        }
        match self.written.map_or(Touched::Anything, |written| touched(file, &known, written)) {
            Touched::Nothing => return Ok(Some(ReadBase::unread(known))),
            Touched::Chunks(chunks) => {
                if let Some(read) = self.reader.read_chunks(file, &known, chunks)? {
                    return Ok(Some(read));
                }
            }
            Touched::Anything => {}
        }
        self.reader.read(file, Some(&known))
    }

    fn has_kernel_times(&mut self, file: &ClusterFile) -> bool {
        let device = file.seen.device;
        if self.disks.contains(&device) {
            return true;
        }
        let has = disk::has_kernel_times(&file.location);
        if has {
            self.disks.insert(device);
        }
        has
    }
}
