//! One worker's pipeline: members in, packs out. Compression, sealing and hashing run on the
//! worker's own thread, the upload on the runtime, so that the next pack fills while the last
//! bytes of the one before are on their way.

use std::sync::Arc;

use crate::archive::manifest::Object;
use crate::archive::pack::{self, Compressor, Member, PackBuilder};
use crate::error::Result;
use crate::repository::upload_sink::{Finishing, UploadSink};
use crate::repository::writer::SnapshotWriter;

/// Where a member went.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Pack of the snapshot.
    pub pack: u32,
    /// Frame of the pack.
    pub frame: u32,
    /// Byte of the frame.
    pub at: u64,
}

/// Fills packs of one snapshot, one after the other. Blocking: use it on a blocking thread of
/// the runtime. Dropped without [`PackWorker::finish`], what is under way is given up.
pub struct PackWorker {
    snapshot: Arc<SnapshotWriter>,
    zstd: Compressor,
    open: Option<(u32, PackBuilder<UploadSink>)>,
    finishing: Option<(Finishing, Object)>,
}

impl PackWorker {
    /// A worker for `snapshot`.
    pub fn new(snapshot: Arc<SnapshotWriter>) -> Result<PackWorker> {
        let zstd = Compressor::new(snapshot.settings().zstd_level)?;
        Ok(PackWorker { snapshot, zstd, open: None, finishing: None })
    }

    /// Adds a member (at most one extent of content) to the open pack.
    pub fn append(&mut self, member: Member<'_>, mode: u32, mtime: i64, data: &[u8]) -> Result<Stored> {
        let (number, mut builder) = match self.open.take() {
            Some(open) => open,
            None => self.snapshot.begin_pack()?,
        };
        let place = builder.append(&mut self.zstd, member, mode, mtime, data)?;
        let full = builder.plain_bytes() >= self.snapshot.settings().pack_bytes;
        self.open = Some((number, builder));
        if full {
            self.end_pack()?;
        }
        Ok(Stored { pack: number, frame: place.frame, at: place.at })
    }

    fn end_pack(&mut self) -> Result<()> {
        let Some((number, builder)) = self.open.take() else { return Ok(()) };
        let end = builder.finish(&mut self.zstd)?;
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

    /// Ends the open pack and waits until all are durable.
    pub fn finish(mut self) -> Result<()> {
        self.end_pack()?;
        self.settle()
    }
}
