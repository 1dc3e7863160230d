//! One worker's pipeline: members in, packs out. Gathering runs on the caller's thread, together with reading
//! and hashing; compression, encryption and hashing of the stored bytes on a second thread; the upload on the
//! runtime. So a single long file keeps two cores busy, and the next pack fills while the last bytes of the
//! previous one are uploaded.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::archive::compress::Compressor;
use crate::archive::manifest::Object;
use crate::archive::pack::{self, Frames, Member, PackBuilder};
use crate::error::{Error, Kind, Result};
use crate::repository::upload_sink::{Finishing, UploadSink};
use crate::repository::writer::SnapshotWriter;

/// Frames that wait for compression: one, while one is compressed and one is gathered.
const FRAMES_WAITING_MAX: usize = 1;

/// Where a member was stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Pack of the snapshot.
    pub pack: u32,
    /// Frame of the pack.
    pub frame: u32,
    /// Byte of the frame.
    pub at: u64,
}

/// Fills packs of one snapshot, one after the other. Blocking: use it on a blocking thread of the runtime.
/// Dropped without [`PackWorker::finish`], it aborts its uploads.
pub struct PackWorker {
    snapshot: Arc<SnapshotWriter>,
    open: Option<u32>,
    frames: Frames,
    work: Option<SyncSender<Work>>,
    /// Buffers that were compressed and can be filled again.
    emptied: Receiver<Vec<u8>>,
    compressing: Option<JoinHandle<Result<()>>>,
}

enum Work {
    /// One more frame of the pack of this number.
    Frame(u32, Vec<u8>),
    /// That was its last frame.
    PackEnds,
    /// There are no more packs.
    Finish,
}

impl PackWorker {
    /// A worker for `snapshot`.
    pub fn new(snapshot: Arc<SnapshotWriter>) -> Result<PackWorker> {
        let (work, works) = sync_channel(FRAMES_WAITING_MAX);
        let (empty, emptied) = sync_channel(FRAMES_WAITING_MAX + 2);
        let packs =
            Packs { zstd: snapshot.compressor()?, snapshot: snapshot.clone(), open: None, finishing: None };
        let compressing = std::thread::Builder::new()
            .name("compress".to_owned())
            .spawn(move || packs.run(works, empty))
            .map_err(|e| Error::new(Kind::Io, "cannot start a thread").because(e))?;
        Ok(PackWorker {
            snapshot,
            open: None,
            frames: Frames::default(),
            work: Some(work),
            emptied,
            compressing: Some(compressing),
        })
    }

    /// Adds a member (at most one extent of content) to the open pack.
    ///
    /// # Errors
    /// Those of the store, for this member or for an earlier one.
    pub fn append(&mut self, member: Member<'_>, mode: u32, mtime: i64, data: &[u8]) -> Result<Stored> {
        let snapshot = &self.snapshot;
        let number = *self.open.get_or_insert_with(|| snapshot.next_pack());
        let (work, emptied) = (&self.work, &self.emptied);
        let mut take = |frame: &mut Vec<u8>| hand_over(work, emptied, number, frame);
        let appended = self.frames.append(member, mode, mtime, data, &mut take);
        let place = appended.map_err(|e| self.why(e))?;
        if self.frames.plain_bytes() >= self.snapshot.settings().pack_bytes {
            self.end_pack()?;
        }
        Ok(Stored { pack: number, frame: place.frame, at: place.at })
    }

    fn end_pack(&mut self) -> Result<()> {
        let Some(number) = self.open.take() else { return Ok(()) };
        let (work, emptied) = (&self.work, &self.emptied);
        let ended = self.frames.end(&mut |frame| hand_over(work, emptied, number, frame));
        ended.and_then(|()| send(&self.work, Work::PackEnds)).map_err(|e| self.why(e))
    }

    /// Ends the open pack and waits until all are durable.
    pub fn finish(mut self) -> Result<()> {
        self.end_pack()?;
        send(&self.work, Work::Finish).map_err(|e| self.why(e))?;
        self.join()
    }

    /// The error of the other thread, where that was the reason.
    fn why(&mut self, e: Error) -> Error {
        self.join().err().unwrap_or(e)
    }

    fn join(&mut self) -> Result<()> {
        self.work = None;
        let panicked = |_| Err(Error::new(Kind::Internal, "a compressing thread panicked"));
        self.compressing.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(panicked))
    }
}

impl Drop for PackWorker {
    fn drop(&mut self) {
        let _ = self.join(); // aborted: the result does not matter
    }
}

fn hand_over(
    work: &Option<SyncSender<Work>>,
    emptied: &Receiver<Vec<u8>>,
    number: u32,
    frame: &mut Vec<u8>,
) -> Result<()> {
    let next = emptied.try_recv().unwrap_or_default();
    send(work, Work::Frame(number, std::mem::replace(frame, next)))
}

fn send(work: &Option<SyncSender<Work>>, what: Work) -> Result<()> {
    let ended = || Error::new(Kind::Internal, "a compressing thread ended early");
    work.as_ref().ok_or_else(ended)?.send(what).map_err(|_| ended())
}

/// The half on the other thread.
struct Packs {
    zstd: Compressor,
    snapshot: Arc<SnapshotWriter>,
    open: Option<(u32, PackBuilder<UploadSink>)>,
    finishing: Option<(Finishing, Object)>,
}

impl Packs {
    fn run(mut self, works: Receiver<Work>, empty: SyncSender<Vec<u8>>) -> Result<()> {
        for work in works {
            match work {
                Work::Frame(number, mut frame) => {
                    let (number, mut builder) = match self.open.take() {
                        Some(open) => open,
                        None => (number, self.snapshot.begin_pack(number)?),
                    };
                    builder.frame(&mut self.zstd, &frame)?;
                    self.open = Some((number, builder));
                    frame.clear();
                    let _ = empty.try_send(frame); // there are enough of them
                }
                Work::PackEnds => self.end_pack()?,
                Work::Finish => return self.settle(),
            }
        }
        Ok(()) // aborted
    }

    fn end_pack(&mut self) -> Result<()> {
        let Some((number, builder)) = self.open.take() else { return Ok(()) };
        let end = builder.finish()?;
        let finishing = end.sink.end()?;
        self.settle()?;
        let object =
            Object { name: pack::name(number), bytes: end.bytes, sha256: end.sha256, frames: end.frames };
        self.finishing = Some((finishing, object));
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        if let Some((finishing, object)) = self.finishing.take() {
            finishing.wait(object.bytes)?;
            self.snapshot.add_object(object);
        }
        Ok(())
    }
}
