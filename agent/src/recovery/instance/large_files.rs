//! Files in several pieces of one snapshot. Each worker has its own thread that writes them past the page
//! cache; they are hashed in memory, in any order.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::blake3::{self, Blake3, Link};
use crate::archive::pack::EXTENT_BYTES;
use crate::disk::beneath::Dir;
use crate::disk::direct::{AlignedBuffer, DirectFile};
use crate::error::{Error, Kind, Result};
use crate::recovery::workers::each_pack;

/// The length of each piece except the last.
const PIECE_BYTES: u64 = EXTENT_BYTES as u64;

/// A file that is being written.
pub struct LargeFile {
    file: DirectFile,
    /// The links of its pieces.
    links: Mutex<Vec<Link>>,
}

impl LargeFile {
    /// Creates the file below `dir`, still without any of its `bytes`.
    pub fn create((dir, relative): (&Dir, &Path), bytes: u64) -> Result<LargeFile> {
        let links = vec![Link::default(); bytes.div_ceil(PIECE_BYTES) as usize];
        Ok(LargeFile { file: DirectFile::open_or_create(dir, relative)?, links: Mutex::new(links) })
    }

    /// Whether a file can be written this way: in several pieces that are subtrees of its digest.
    pub fn is_for(mut pieces: impl Iterator<Item = (u64, u64)>, bytes: u64) -> bool {
        bytes > PIECE_BYTES
            && pieces.all(|(offset, length)| {
                offset.is_multiple_of(PIECE_BYTES) && length == (bytes - offset).min(PIECE_BYTES)
            })
    }

    /// Adds a piece to the digest.
    fn hash(&self, data: &[u8], offset: u64) {
        let link = blake3::link(data, offset);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links[(offset / PIECE_BYTES) as usize] = link;
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// The digest of the file, when all pieces have arrived.
    pub fn digest(&self) -> Blake3 {
        blake3::whole(&self.links.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Pieces of one file that are to be written.
pub struct Pieces {
    /// Index of the file among the wanted ones.
    pub place: usize,
    file: Arc<LargeFile>,
    buffer: AlignedBuffer,
    /// The position of each in the buffer and in the file.
    pieces: Vec<(Range<usize>, u64)>,
}

impl Pieces {
    /// The file.
    pub fn file(&self) -> &LargeFile {
        &self.file
    }

    /// The sum of their bytes.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|(range, _)| range.len() as u64).sum()
    }

    /// The number of pieces.
    pub fn count(&self) -> u32 {
        self.pieces.len() as u32
    }
}

/// A worker's own resources: a buffer, and the channel to the writing thread.
pub struct Lane {
    /// The buffer for the member that is being read.
    pub buffer: AlignedBuffer,
    writes: SyncSender<Pieces>,
    written: Receiver<AlignedBuffer>,
}

/// The writing thread's end.
struct Writes {
    writes: Receiver<Pieces>,
    written: Sender<AlignedBuffer>,
}

/// [`each_pack`], with a lane for each worker. When this returns, everything in the lanes is written, and
/// `came` was called for it.
///
/// # Errors
/// Those of writing and of `came`, also for the last pieces; else those of `read`.
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
    // The worker's own error only says that the writer is gone; if the worker had finished, it has none.
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(done, Err)
}

/// A lane and its other end. While one piece is written and one is read, one more can wait.
fn lane() -> (Lane, Writes) {
    let ((writes, to_write), (written, emptied)) = (sync_channel(1), channel());
    let buffer = AlignedBuffer::new(EXTENT_BYTES);
    (Lane { buffer, writes, written: emptied }, Writes { writes: to_write, written })
}

impl Lane {
    /// Lets these pieces of the buffer be written.
    ///
    /// # Errors
    /// If the writing thread is gone; that thread has the reason.
    pub fn write(
        &mut self,
        place: usize,
        file: Arc<LargeFile>,
        pieces: impl Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<()> {
        let data = self.buffer.data();
        let pieces = pieces.inspect(|(range, offset)| file.hash(&data[range.clone()], *offset)).collect();
        let next = self.written.try_recv().unwrap_or_else(|_| AlignedBuffer::new(EXTENT_BYTES));
        let buffer = std::mem::replace(&mut self.buffer, next);
        self.writes
            .send(Pieces { place, file, buffer, pieces })
            .map_err(|_| Error::new(Kind::Internal, "a writing thread ended early"))
    }
}

impl Writes {
    /// Writes until the worker is gone; calls `came` for each written piece.
    fn run(self, came: impl Fn(&Pieces) -> Result<()>) -> Result<()> {
        for write in self.writes {
            for (range, offset) in &write.pieces {
                write.file.file.write_all_at(&write.buffer.data()[range.clone()], *offset)?;
            }
            came(&write)?;
            let _ = self.written.send(write.buffer); // the worker may have ended
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn the_digest_is_right_in_whatever_order_pieces_come() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..5 * EXTENT_BYTES + 54_321).map(|n| (n % 249) as u8).collect();
        let bytes = content.len() as u64;
        let offsets: Vec<usize> = (0..content.len()).step_by(EXTENT_BYTES).collect();
        for (n, turn) in [0, 2, 5].into_iter().enumerate() {
            let place = (&Dir::open(dir.path()).unwrap(), &*PathBuf::from(n.to_string()));
            let file = Arc::new(LargeFile::create(place, bytes).unwrap());
            let mut order = offsets.clone();
            order.rotate_left(turn);
            order[..4].reverse();
            let counted = AtomicU32::new(0);
            let came = |pieces: &Pieces| {
                counted.fetch_add(pieces.count(), Ordering::Relaxed);
                Ok(())
            };
            each_pack_with_lane(2, order, came, |at, lane| {
                let data = &content[at..content.len().min(at + EXTENT_BYTES)];
                lane.buffer.fill(&mut &data[..], data.len()).unwrap();
                lane.write(0, file.clone(), std::iter::once((0..data.len(), at as u64)))
            })
            .unwrap();
            assert_eq!(counted.into_inner() as usize, offsets.len());
            assert_eq!(file.digest(), Blake3::of(&content));
            assert_eq!(Blake3::of_file(file.file(), place.1).unwrap(), Blake3::of(&content));
        }
    }

    #[test]
    fn only_pieces_that_are_subtrees_come_this_way() {
        let (piece, bytes) = (PIECE_BYTES, 2 * PIECE_BYTES + 5);
        let is_for = |pieces: &[(u64, u64)]| LargeFile::is_for(pieces.iter().copied(), bytes);
        assert!(is_for(&[(0, piece), (piece, piece), (2 * piece, 5)]));
        assert!(!is_for(&[(0, piece), (piece, piece - 8192), (2 * piece - 8192, 8197)]));
        assert!(!is_for(&[(0, 2 * piece), (2 * piece, 5)]));
        assert!(!LargeFile::is_for([(0, piece)].into_iter(), piece), "one piece is the whole file");
    }

    #[test]
    fn what_fails_with_the_very_last_piece_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let place = (&Dir::open(dir.path()).unwrap(), Path::new("file"));
        let file = Arc::new(LargeFile::create(place, 9 * PIECE_BYTES).unwrap());
        let read = |at: u64, lane: &mut Lane| {
            lane.buffer.fill(&mut [7; 8192].as_slice(), 8192).unwrap();
            lane.write(at as usize, file.clone(), std::iter::once((0..8192, at * PIECE_BYTES)))
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
