//! Copies what a server sends: one thread takes the archives apart, N workers hash and pack, and the calling
//! thread puts the pieces of files together again and sorts the list.

use std::sync::Arc;

use crate::archive::base::{CONTROL_FILE, Directory, LABEL_FILE, TABLESPACE_MAP_FILE};
use crate::archive::digest::FileDigest;
use crate::archive::index::Entry;
use crate::archive::pack::EXTENT_BYTES;
use crate::backup::base::cluster_files::is_left_out;
use crate::backup::base::context::Context;
use crate::backup::base::incoming::{Incoming, Next};
use crate::backup::base::moved::WalWatch;
use crate::backup::base::packed::Packed;
use crate::backup::base::reader::{BaseReader, Coming, PageCheck};
use crate::backup::base::relation_files::segment_of;
use crate::backup::base::tally::{Listed, NOTES_MAX, Tally};
use crate::backup::base::tar::{TarKind, TarMember, TarReader};
use crate::backup::batches::{self, Maker, Work};
use crate::catalog::known_scratch::{KnownLookup, KnownSorter};
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::SegmentName;
use crate::postgres::control::CONTROL_BYTES;
use crate::repository::pack_worker::PackWorker;

/// Where the segments of a base backup lie.
pub const WAL_DIR: &str = "pg_wal/";
/// Pieces a batch, at most; and an extent of content.
const BATCH_PIECES: usize = 128;
/// Batches that wait, beside the one that each worker has.
const BATCHES_WAITING_MAX: usize = 2;
/// Longest `tablespace_map` (and `backup_label`) that is accepted.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// What to do with what is sent.
pub struct StreamCopy<'a> {
    /// The backup.
    pub context: &'a Context,
    /// The chain's files; none for a full backup.
    pub old: Option<KnownLookup>,
    /// Place of this backup in its chain.
    pub own: u32,
    /// How pages are checked, where they can be.
    pub pages: Option<PageCheck>,
}

/// The result of the copy.
pub struct Copy<'a> {
    /// What is kept as it was sent.
    pub sent: Sent,
    /// Counts of the files.
    pub tally: Tally,
    /// The files.
    pub sorter: KnownSorter<'a>,
    /// Every segment of WAL that came.
    pub wal: Vec<Entry>,
}

/// The parts of a base backup that are not stored as files in packs.
pub struct Sent {
    /// `backup_label`.
    pub label: String,
    /// `tablespace_map`; empty without tablespaces.
    pub tablespace_map: String,
    /// `pg_control`, which comes after everything else.
    pub control: Vec<u8>,
    /// Directories and notes.
    pub listed: Listed,
    /// Where the copy is consistent.
    pub stop_lsn: Lsn,
    /// Whether the server found pages with wrong checksums.
    pub corrupted: bool,
    /// Databases that were copied, as the WAL says.
    pub wal: WalWatch,
}

impl Sent {
    fn new(wal_segment_bytes: u64) -> Sent {
        Sent {
            label: String::new(),
            tablespace_map: String::new(),
            control: Vec::new(),
            listed: Listed::default(),
            stop_lsn: Lsn(0),
            corrupted: false,
            wal: WalWatch::new(wal_segment_bytes),
        }
    }
}

/// A piece of a file.
struct Piece {
    file: Arc<Coming>,
    offset: u64,
    data: Vec<u8>,
    last: bool,
}

/// A piece that is packed.
struct PackedFile {
    file: Arc<Coming>,
    packed: Packed,
    last: bool,
}

type Batch = Vec<Piece>;
type Results = Result<Vec<PackedFile>>;

impl<'a> StreamCopy<'a> {
    /// Receives everything. Blocking, on a blocking thread of the runtime.
    pub fn run(self, incoming: Incoming) -> Result<Copy<'a>> {
        let workers = self.context.job.backup.workers.max(1);
        let (maker, work, results) = batches::bounded::<Batch, Results>(BATCHES_WAITING_MAX);
        let (context, own, pages) = (self.context, self.own, self.pages);
        std::thread::scope(|scope| {
            let old = self.old;
            let sent = Sent::new(context.server.wal_segment_bytes);
            let receiver = scope.spawn(move || Unpacking::new(maker, old, sent).run(incoming));
            let workers: Vec<_> = (0..workers)
                .map(|_| {
                    let work = work.clone();
                    scope.spawn(move || pack(work, context, own, pages))
                })
                .collect();
            drop(work);
            let mut files = Files::new(context);
            let mut written = Ok(());
            while let Some(batch) = results.next() {
                let Some(batch) = batch else { continue }; // its worker's handle has the error
                written = batch.and_then(|done| done.into_iter().try_for_each(|done| files.add(done)));
                if written.is_err() {
                    break;
                }
            }
            drop(results); // a failed writer makes the others stop
            let panicked = || Error::new(Kind::Internal, "a thread of the base backup panicked");
            let sent = receiver.join().unwrap_or_else(|_| Err(panicked()));
            let packed: Vec<_> =
                workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err(panicked()))).collect();
            packed.into_iter().collect::<Result<Vec<()>>>()?;
            written?;
            Ok(Copy { sent: sent?, tally: files.tally, sorter: files.sorter, wal: files.wal })
        })
    }
}

/// Files whose pieces are put together again.
struct Files<'a> {
    current: Packed,
    tally: Tally,
    sorter: KnownSorter<'a>,
    wal: Vec<Entry>,
}

impl<'a> Files<'a> {
    fn new(context: &'a Context) -> Files<'a> {
        let sorter = KnownSorter::new(&context.job.state);
        Files { current: Packed::default(), tally: Tally::default(), sorter, wal: Vec::new() }
    }

    fn add(&mut self, done: PackedFile) -> Result<()> {
        self.current.append(done.packed);
        if !done.last {
            return Ok(());
        }
        let mut packed = std::mem::take(&mut self.current);
        let file = done.file;
        let entry = Entry {
            path: file.path.clone(),
            bytes: file.bytes,
            mode: file.mode,
            mtime_ns: file.mtime.saturating_mul(1_000_000_000),
            digest: FileDigest::Blake3(std::mem::take(&mut packed.digest).finish()),
            flaw: None,
            tenants: Vec::new(),
            parts: Vec::new(),
        };
        let read = packed.file(entry, file.block_bytes(), None);
        if file.path.starts_with(WAL_DIR) {
            self.wal.push(read.known.entry);
            return Ok(());
        }
        self.tally.add(&read);
        self.sorter.push(read.known)
    }
}

/// One worker: packs pieces into its own packs.
fn pack(work: Work<Batch, Results>, context: &Context, own: u32, pages: Option<PageCheck>) -> Result<()> {
    let pace = context.pace();
    let mut reader = BaseReader::new(PackWorker::new(context.snapshot.clone())?, &pace, own, pages);
    let progress = &context.job.progress;
    while let Some((pieces, done)) = work.take() {
        let packed = pieces.into_iter().map(|Piece { file, offset, data, last }| {
            let packed = reader.piece(&file, offset, &data)?;
            progress.add_bytes(data.len() as u64);
            progress.add_files(u64::from(last));
            Ok(PackedFile { file, packed, last })
        });
        let result: Results = packed.collect();
        let failed = result.is_err();
        if done.send(result).is_err() || failed {
            return Ok(()); // the writer has the error, or is gone with one of its own
        }
    }
    reader.finish()
}

/// Takes the archives apart.
struct Unpacking {
    maker: Maker<Batch, Results>,
    old: Option<KnownLookup>,
    sent: Sent,
    batch: Batch,
    batch_bytes: usize,
}

impl Unpacking {
    fn new(maker: Maker<Batch, Results>, old: Option<KnownLookup>, sent: Sent) -> Unpacking {
        Unpacking { maker, old, sent, batch: Batch::new(), batch_bytes: 0 }
    }

    fn run(mut self, mut incoming: Incoming) -> Result<Sent> {
        loop {
            match incoming.next()? {
                Next::Archive(oid) => self.archive(&mut incoming, oid)?,
                Next::End { stop_lsn, corrupted } => {
                    self.send()?;
                    (self.sent.stop_lsn, self.sent.corrupted) = (stop_lsn, corrupted);
                    self.sent.listed.directories.sort_by(|a, b| a.path.cmp(&b.path));
                    return Ok(self.sent);
                }
            }
        }
    }

    /// One archive: of a tablespace, or of the data directory.
    fn archive(&mut self, incoming: &mut Incoming, oid: Option<u32>) -> Result<()> {
        let place = oid.map_or_else(String::new, |oid| format!("pg_tblspc/{oid}/"));
        if oid.is_some() {
            let path = place.trim_end_matches('/').to_owned();
            self.sent.listed.directories.push(Directory { path, mode: 0o700 });
        }
        let mut tar = TarReader::new(|| incoming.data());
        while let Some(member) = tar.next()? {
            let member = TarMember { path: format!("{place}{}", member.path), ..member };
            match member.kind {
                TarKind::File => self.file(&mut tar, member)?,
                TarKind::Directory => {
                    let TarMember { path, mode, .. } = member;
                    self.sent.listed.directories.push(Directory { path, mode });
                }
                // Links to tablespaces; these come as archives of their own.
                TarKind::Link if member.path.starts_with("pg_tblspc/") => {}
                TarKind::Link if self.sent.listed.notes.len() < NOTES_MAX => {
                    self.sent.listed.notes.push(format!("{} is a link: skipped", member.path));
                }
                TarKind::Link => {}
            }
        }
        Ok(())
    }

    fn file<S>(&mut self, tar: &mut TarReader<S>, member: TarMember) -> Result<()>
    where
        S: FnMut() -> Result<Option<bytes::Bytes>>,
    {
        match member.path.as_str() {
            LABEL_FILE => self.sent.label = text(tar, &member)?,
            TABLESPACE_MAP_FILE => self.sent.tablespace_map = text(tar, &member)?,
            CONTROL_FILE => self.sent.control = whole(tar, &member, CONTROL_BYTES as u64)?,
            path if path.strip_prefix(WAL_DIR).is_some_and(|name| name.parse::<SegmentName>().is_err()) => {}
            path if is_left_out(path) => {}
            _ => self.pieces(tar, member)?,
        }
        Ok(())
    }

    fn pieces<S>(&mut self, tar: &mut TarReader<S>, member: TarMember) -> Result<()>
    where
        S: FnMut() -> Result<Option<bytes::Bytes>>,
    {
        let old = match &self.old {
            Some(old) => old.get(&member.path)?,
            None => None,
        };
        let TarMember { path, bytes, mode, mtime, .. } = member;
        let segment = path.strip_prefix(WAL_DIR).and_then(|name| name.parse::<SegmentName>().ok());
        let file = Arc::new(Coming { segment: segment_of(&path), path, bytes, mode, mtime, old });
        let mut offset = 0;
        loop {
            let n = (bytes - offset).min(EXTENT_BYTES as u64) as usize;
            if self.batch_bytes + n > EXTENT_BYTES || self.batch.len() >= BATCH_PIECES {
                self.send()?;
            }
            let mut data = vec![0; n];
            tar.read(&mut data)?;
            if let Some(segment) = segment {
                self.sent.wal.feed(segment, offset, &data);
            }
            let last = offset + n as u64 == bytes;
            self.batch_bytes += n;
            self.batch.push(Piece { file: file.clone(), offset, data, last });
            if last {
                return Ok(());
            }
            offset += n as u64;
        }
    }

    fn send(&mut self) -> Result<()> {
        self.batch_bytes = 0;
        match self.batch.is_empty() || self.maker.send(std::mem::take(&mut self.batch)) {
            true => Ok(()),
            false => Err(Error::new(Kind::Interrupted, "the base backup was stopped")),
        }
    }
}

/// A small file that is kept in memory.
fn whole<S>(tar: &mut TarReader<S>, member: &TarMember, bytes_max: u64) -> Result<Vec<u8>>
where
    S: FnMut() -> Result<Option<bytes::Bytes>>,
{
    if member.bytes > bytes_max {
        let what = format!("the server sent {} of {} bytes", member.path, member.bytes);
        return Err(Error::new(Kind::Postgres, what).effect("no base backup was stored"));
    }
    let mut data = vec![0; member.bytes as usize];
    tar.read(&mut data)?;
    Ok(data)
}

fn text<S>(tar: &mut TarReader<S>, member: &TarMember) -> Result<String>
where
    S: FnMut() -> Result<Option<bytes::Bytes>>,
{
    String::from_utf8(whole(tar, member, TEXT_BYTES_MAX)?)
        .map_err(|e| Error::new(Kind::Postgres, format!("{} is not UTF-8", member.path)).because(e))
}
