//! Files that come in several pieces of one snapshot: each worker has a thread beside it that writes
//! them past the page cache, and their SHA-256 is taken while the pieces are in memory. Pieces come
//! nearly in order; one that comes too early is read again for the digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::Digest as _;

use crate::archive::pack::EXTENT_BYTES;
use crate::disk::direct::{AlignedBuffer, DirectFile};
use crate::error::{Error, Kind, Result};
use crate::recovery::workers::each_pack;

/// Read at once for the digest.
const READ_BYTES: usize = 256 << 10;

/// A file on its way.
pub struct LargeFile {
    file: DirectFile,
    digest: Mutex<Running>,
}

/// A digest of the first bytes of a file.
struct Running {
    sha256: sha2::Sha256,
    bytes: u64,
    /// Written pieces that lie behind: where, and how long.
    ahead: BTreeMap<u64, u64>,
}

impl LargeFile {
    /// The file at `path`, with nothing in it.
    pub fn create(path: &Path) -> Result<LargeFile> {
        let digest = Running { sha256: sha2::Sha256::new(), bytes: 0, ahead: BTreeMap::new() };
        Ok(LargeFile { file: DirectFile::open_or_create(path)?, digest: Mutex::new(digest) })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece into the digest where it is the next one; whether it was.
    fn take(&self, data: &[u8], offset: u64) -> bool {
        let mut running = self.running();
        let is_next = running.bytes == offset;
        if is_next {
            running.sha256.update(data);
            running.bytes += data.len() as u64;
        }
        is_next
    }

    /// Writes a piece, and takes what is written and became next into the digest.
    fn write(&self, data: &[u8], offset: u64, is_taken: bool) -> Result<()> {
        self.file.write_all_at(data, offset)?;
        let mut running = self.running();
        if !is_taken {
            running.ahead.insert(offset, data.len() as u64);
        }
        while let Some(bytes) = {
            let at = running.bytes;
            running.ahead.remove(&at)
        } {
            let mut buffer = [0; READ_BYTES];
            let end = running.bytes + bytes;
            while running.bytes < end {
                let part = &mut buffer[..((end - running.bytes) as usize).min(READ_BYTES)];
                self.file()
                    .read_exact_at(part, running.bytes)
                    .map_err(|e| Error::new(Kind::Io, "cannot read what was just written").because(e))?;
                running.sha256.update(&*part);
                running.bytes += part.len() as u64;
            }
        }
        Ok(())
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// The SHA-256 of the file, when all pieces are written.
    pub fn sha256(&self) -> [u8; 32] {
        self.running().sha256.clone().finalize().into()
    }
}

/// Pieces of one file, on their way to the disk.
pub struct Pieces {
    /// Place of the file among those that are wanted.
    pub place: usize,
    file: Arc<LargeFile>,
    buffer: AlignedBuffer,
    /// Where each lies in the buffer and in the file, and whether the digest has it.
    pieces: Vec<(Range<usize>, u64, bool)>,
}

impl Pieces {
    /// The file.
    pub fn file(&self) -> &LargeFile {
        &self.file
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|(range, ..)| range.len() as u64).sum()
    }

    /// How many pieces these are.
    pub fn count(&self) -> u32 {
        self.pieces.len() as u32
    }
}

/// What a worker has for itself: a buffer, and the way to the thread that writes.
pub struct Lane {
    /// For the member that is being read.
    pub buffer: AlignedBuffer,
    writes: SyncSender<Pieces>,
    written: Receiver<AlignedBuffer>,
}

/// The writing thread's end.
struct Writes {
    writes: Receiver<Pieces>,
    written: Sender<AlignedBuffer>,
}

/// [`each_pack`], where each worker has a lane. When this returns, all that went into them is written, and `came`
/// was told of it.
///
/// # Errors
/// Those of writing and of `came`, also of the very last pieces; else those of `read`.
pub fn each_pack_with_lane<T, P: Iterator<Item = T> + Send>(
    workers: usize,
    packs: impl IntoIterator<Item = T, IntoIter = P>,
    came: impl Fn(&Pieces) -> Result<()> + Sync,
    read: impl Fn(T, &mut Lane) -> Result<()> + Sync,
) -> Result<()> {
    let failed = Mutex::new(None);
    let done = std::thread::scope(|scope| {
        let make = || {
            let (lane, writes) = lane();
            scope.spawn(|| {
                if let Err(e) = writes.run(&came) {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                }
            });
            lane
        };
        each_pack(workers, packs, make, read)
    });
    // The worker's own error says only that nobody writes any more, and there is none where it had finished.
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(done, Err)
}

/// A lane and its other end. One piece waits while one is written and one is read.
fn lane() -> (Lane, Writes) {
    let ((writes, to_write), (written, emptied)) = (sync_channel(1), channel());
    let buffer = AlignedBuffer::new(EXTENT_BYTES);
    (Lane { buffer, writes, written: emptied }, Writes { writes: to_write, written })
}

impl Lane {
    /// Has these pieces of the buffer written.
    ///
    /// # Errors
    /// Where the writing thread is gone: it has the reason.
    pub fn write(
        &mut self,
        place: usize,
        file: Arc<LargeFile>,
        pieces: impl Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<()> {
        let data = self.buffer.data();
        let pieces = pieces.map(|(range, offset)| {
            let is_taken = file.take(&data[range.clone()], offset);
            (range, offset, is_taken)
        });
        let pieces = pieces.collect();
        let next = self.written.try_recv().unwrap_or_else(|_| AlignedBuffer::new(EXTENT_BYTES));
        let buffer = std::mem::replace(&mut self.buffer, next);
        self.writes
            .send(Pieces { place, file, buffer, pieces })
            .map_err(|_| Error::new(Kind::Internal, "a writing thread ended early"))
    }
}

impl Writes {
    /// Writes until the worker is gone; `came` is told of each that is written.
    fn run(self, came: impl Fn(&Pieces) -> Result<()>) -> Result<()> {
        for write in self.writes {
            for (range, offset, is_taken) in &write.pieces {
                write.file.write(&write.buffer.data()[range.clone()], *offset, *is_taken)?;
            }
            came(&write)?;
            let _ = self.written.send(write.buffer); // the worker may be at its end
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::archive::digest::Sha256;

    #[test]
    fn the_digest_is_right_in_whatever_order_pieces_come() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..900_000u32).map(|n| (n % 249) as u8).collect();
        let offsets: Vec<usize> = (0..content.len()).step_by(64 << 10).collect();
        for (n, turn) in [0, 5, 9].into_iter().enumerate() {
            let file = Arc::new(LargeFile::create(&dir.path().join(n.to_string())).unwrap());
            let mut order = offsets.clone();
            order.rotate_left(turn);
            order[..4].reverse();
            let counted = AtomicU32::new(0);
            let came = |pieces: &Pieces| {
                counted.fetch_add(pieces.count(), Ordering::Relaxed);
                Ok(())
            };
            each_pack_with_lane(1, order, came, |at, lane| {
                let data = &content[at..content.len().min(at + (64 << 10))];
                lane.buffer.fill(&mut &data[..], data.len()).unwrap();
                lane.write(0, file.clone(), std::iter::once((0..data.len(), at as u64)))
            })
            .unwrap();
            assert_eq!(counted.into_inner() as usize, offsets.len());
            assert_eq!(file.sha256(), Sha256::of(&content).0);
            let written = Sha256::of_file(&dir.path().join(n.to_string())).unwrap();
            assert_eq!(written, Sha256::of(&content));
        }
    }

    #[test]
    fn what_fails_with_the_very_last_piece_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let file = Arc::new(LargeFile::create(&dir.path().join("file")).unwrap());
        let read = |at: u64, lane: &mut Lane| {
            lane.buffer.fill(&mut [7; 8192].as_slice(), 8192).unwrap();
            lane.write(at as usize, file.clone(), std::iter::once((0..8192, at * 8192)))
        };
        let came = |pieces: &Pieces| match pieces.place {
            2 => Err(Error::new(Kind::Integrity, "it is not what its index says")),
            _ => Ok(()),
        };
        let failed = each_pack_with_lane(1, 0..3, came, read).unwrap_err();
        assert_eq!(failed.kind(), Kind::Integrity);
        // the worker's next one finds nobody who writes; the reason is told all the same
        let failed = each_pack_with_lane(1, 0..9, came, read).unwrap_err();
        assert_eq!(failed.kind(), Kind::Integrity);
    }
}
