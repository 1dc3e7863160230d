//! The part of a segment that is being received: at most what one object holds. Pieces of it are stored while
//! it grows; when it is complete, it is stored as one object.

use bytes::Bytes;

use crate::archive::wal::{CONTENT_BYTES_MAX, WalName};
use crate::error::Result;
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, SegmentName, TimelineId, WalFile};
use crate::repository::wal::check_stored;
use crate::repository::wal::coverage::assemble;

/// What to do next for a block.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// List what the repository holds of its segment.
    Look,
    /// Store these bytes, which begin at this byte of the segment.
    Store(u32, Bytes),
    /// Wait for more.
    Nothing,
}

/// See the module.
pub struct Block {
    /// Its segment.
    pub file: WalFile,
    /// Its first byte.
    pub begin: Lsn,
    offset: u32,
    size: usize,
    /// What was received; empty again once all of it was handed over.
    data: Vec<u8>,
    received: usize,
    /// What the repository already holds of it; `None` before it was listed.
    there: Option<Vec<WalName>>,
    stored: usize,
    pieces: bool,
    /// Whether there is an object with the name of the whole block that contains less. Then the block is
    /// stored in pieces as well: of two objects of the same range only one can be right.
    beside: bool,
}

impl Block {
    /// The block that begins at `lsn`, on `timeline`.
    pub fn at(timeline: TimelineId, lsn: Lsn, segment_bytes: SegmentBytes) -> Block {
        let segment = SegmentName::holding(timeline, lsn, segment_bytes);
        Block {
            file: WalFile::Segment(segment),
            begin: lsn,
            offset: (lsn.0 % segment_bytes.get()) as u32,
            size: CONTENT_BYTES_MAX.min(segment_bytes.get() as usize),
            data: Vec::new(),
            received: 0,
            there: None,
            stored: 0,
            pieces: false,
            beside: false,
        }
    }

    /// Takes what fits and returns the rest.
    pub fn append(&mut self, mut wal: Bytes) -> Bytes {
        let fits = wal.len().min(self.size - self.received);
        self.data.extend_from_slice(&wal.split_to(fits));
        self.received += fits;
        wal
    }

    /// The position after its last byte.
    pub fn end(&self) -> Lsn {
        Lsn(self.begin.0 + self.size as u64)
    }

    /// The position after what was received.
    pub fn received(&self) -> Lsn {
        Lsn(self.begin.0 + self.received as u64)
    }

    /// The position after what is durable.
    pub fn durable(&self) -> Lsn {
        Lsn(self.begin.0 + self.stored as u64)
    }

    /// Whether all that was received is durable.
    pub fn is_durable(&self) -> bool {
        self.stored == self.received
    }

    /// Whether all of it is received.
    pub fn is_complete(&self) -> bool {
        self.received == self.size
    }

    /// Takes the list of what the repository holds of the segment.
    pub fn found(&mut self, names: Vec<WalName>) {
        let end = self.offset + self.size as u32;
        let within = |name: &WalName| name.begin >= self.offset && name.end <= end;
        self.there = Some(names.into_iter().filter(within).collect());
    }

    /// What to do now, when no earlier work is in progress. What was stored earlier is compared first, and
    /// then counts as durable. A complete block of which nothing is stored is handed over as a whole.
    ///
    /// An object of the whole block can be compared only when the whole block is received. Where the rest
    /// `is_coming`, the block waits for it. Otherwise the server is not as far as the object's name says:
    /// commits may be waiting, so pieces are stored in addition to it.
    ///
    /// # Errors
    /// `AlreadyExists` where the repository holds other bytes.
    pub fn work(&mut self, is_coming: bool) -> Result<Work> {
        let Some(there) = &self.there else { return Ok(Work::Look) };
        if !there.is_empty() && self.stored < self.received {
            let is_complete = self.is_complete();
            let is_whole = |name: &WalName| (name.end - name.begin) as usize == self.size;
            if !is_complete && is_coming && there.iter().any(is_whole) {
                return Ok(Work::Nothing);
            }
            let (offset, beside) = (self.offset, self.beside);
            let covered = |beside: bool| {
                let counts = there.iter().filter(|name| (is_complete && !beside) || !is_whole(name));
                let from_start: Vec<WalName> = counts
                    .map(|name| WalName { begin: name.begin - offset, end: name.end - offset, ..*name })
                    .collect();
                assemble(&from_start).last().map_or(0, |name| name.end as usize)
            };
            if self.received < covered(beside) {
                return Ok(Work::Nothing);
            }
            // once at the end of what it covers, and once at the end of the block: there may be more after a
            // hole
            let is_due = self.stored < covered(beside) || (is_complete && !beside);
            let beside = match is_due {
                true => beside | check_stored(self.file, offset, &self.data, there)?.is_some(),
                false => beside,
            };
            if self.stored < covered(beside) {
                self.pieces = beside || !there.iter().any(is_whole);
                self.stored = covered(beside);
            }
            self.beside = beside;
        }
        let begin = self.offset + self.stored as u32;
        match (self.stored, self.is_complete()) {
            (stored, _) if stored == self.received => Ok(Work::Nothing),
            (0, true) if self.beside => {
                Ok(Work::Store(begin, Bytes::copy_from_slice(&self.data[..self.size / 2])))
            }
            (0, true) => Ok(Work::Store(begin, std::mem::take(&mut self.data).into())),
            (stored, _) => Ok(Work::Store(begin, Bytes::copy_from_slice(&self.data[stored..]))),
        }
    }

    /// Records that work was done: everything up to this byte of the segment is durable.
    pub fn stored(&mut self, end: u32) {
        self.pieces |= ((end - self.offset) as usize) < self.size || self.stored > 0;
        self.stored = (end - self.offset) as usize;
    }

    /// What to store as one object of a complete and durable block, because so far it is stored in pieces;
    /// not where there is another object of its range.
    pub fn whole(self) -> Option<Whole> {
        (self.pieces && !self.beside).then(|| Whole {
            file: self.file,
            offset: self.offset,
            content: self.data.into(),
        })
    }
}

/// All of a block.
pub struct Whole {
    /// Its segment.
    pub file: WalFile,
    /// Where it begins in the segment.
    pub offset: u32,
    /// Its bytes.
    pub content: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::wal::HalfDigest;
    use crate::error::Kind;

    const SIZE: u64 = 1 << 20;

    fn size() -> SegmentBytes {
        SegmentBytes::try_from(SIZE).unwrap()
    }

    fn block() -> Block {
        Block::at(TimelineId(1), Lsn(3 * SIZE), size())
    }

    fn wal() -> Bytes {
        (0..SIZE).map(|n| (n >> 3) as u8).collect::<Vec<u8>>().into()
    }

    fn name(block: &Block, begin: usize, end: usize, content: &Bytes) -> WalName {
        let plain = HalfDigest::of(&content[begin..end]);
        WalName {
            file: block.file,
            begin: begin as u32,
            end: end as u32,
            plain,
            stored: plain,
            signature: None,
        }
    }

    #[test]
    fn a_tail_is_stored_in_pieces_and_then_as_one() {
        let mut block = block();
        assert_eq!(block.work(false).unwrap(), Work::Look);
        block.found(Vec::new());
        assert_eq!(block.work(false).unwrap(), Work::Nothing);
        assert!(block.append(wal().slice(..100)).is_empty());
        assert_eq!(block.work(false).unwrap(), Work::Store(0, wal().slice(..100)));
        assert!(block.append(wal().slice(100..200)).is_empty());
        block.stored(100);
        assert_eq!((block.durable(), block.received()), (Lsn(3 * SIZE + 100), Lsn(3 * SIZE + 200)));
        let rest = block.append([&wal()[200..], b"next"].concat().into());
        assert_eq!(rest, &b"next"[..]);
        assert_eq!(block.work(false).unwrap(), Work::Store(100, wal().slice(100..)));
        block.stored(SIZE as u32);
        assert!(block.is_complete() && block.is_durable());
        assert_eq!(block.end(), Lsn(4 * SIZE));
        assert_eq!(block.whole().unwrap().content, wal());
    }

    #[test]
    fn what_came_at_once_is_stored_once() {
        let mut block = block();
        block.found(Vec::new());
        drop(block.append(wal()));
        assert_eq!(block.work(false).unwrap(), Work::Store(0, wal()));
        block.stored(SIZE as u32);
        assert_eq!((block.work(false).unwrap(), block.durable()), (Work::Nothing, Lsn(4 * SIZE)));
        assert!(block.whole().is_none());
    }

    #[test]
    fn what_is_there_is_compared_before_it_counts() {
        let mut block = block();
        let there = vec![name(&block, 0, 100, &wal()), name(&block, 100, 300, &wal())];
        block.found(there.clone());
        drop(block.append(wal().slice(..299)));
        assert_eq!(block.work(false).unwrap(), Work::Nothing);
        assert_eq!(block.durable(), Lsn(3 * SIZE));
        drop(block.append(wal().slice(299..310)));
        assert_eq!(block.work(false).unwrap(), Work::Store(300, wal().slice(300..310)));
        assert_eq!(block.durable(), Lsn(3 * SIZE + 300));
        let mut other = self::block();
        other.found(there);
        let mut wrong = wal().to_vec();
        wrong[150] ^= 1;
        drop(other.append(wrong.into()));
        assert_eq!(other.work(false).unwrap_err().kind(), Kind::AlreadyExists);
        // a piece after a hole is compared when the block is complete
        let mut holed = self::block();
        holed.found(vec![name(&holed, 500, 600, &wal())]);
        let mut wrong = wal().to_vec();
        wrong[550] ^= 1;
        drop(holed.append(Bytes::from(wrong.clone()).slice(..400)));
        assert!(matches!(holed.work(false).unwrap(), Work::Store(0, _)));
        holed.stored(400);
        drop(holed.append(Bytes::from(wrong).slice(400..)));
        assert_eq!(holed.work(false).unwrap_err().kind(), Kind::AlreadyExists);
    }

    /// The object of the whole block that contains it up to `end`, and then zeros.
    fn filled(block: &Block, end: usize) -> WalName {
        let mut filled = wal().to_vec();
        filled[end..].fill(0);
        name(block, 0, SIZE as usize, &filled.into())
    }

    #[test]
    fn beside_an_object_that_holds_less_than_its_name_says_all_is_stored_in_pieces() {
        let mut block = block();
        block.found(vec![name(&block, 0, 300, &wal()), filled(&block, 300)]);
        drop(block.append(wal().slice(..299)));
        assert_eq!(block.work(false).unwrap(), Work::Nothing, "the piece is longer");
        drop(block.append(wal().slice(299..500)));
        assert_eq!(block.work(true).unwrap(), Work::Nothing, "the rest is coming, and may be the same");
        assert_eq!(block.work(false).unwrap(), Work::Store(300, wal().slice(300..500)));
        block.stored(500);
        drop(block.append(wal().slice(500..)));
        assert_eq!(block.work(true).unwrap(), Work::Store(500, wal().slice(500..)));
        block.stored(SIZE as u32);
        assert!(block.is_durable() && block.whole().is_none());
        // what arrived at once: never an object of the same range
        let mut block = self::block();
        block.found(vec![filled(&block, 0)]);
        drop(block.append(wal()));
        let Work::Store(0, first) = block.work(true).unwrap() else { panic!("nothing is stored") };
        assert!(first.len() < SIZE as usize);
        block.stored(first.len() as u32);
        let rest = wal().slice(first.len()..);
        assert_eq!(block.work(true).unwrap(), Work::Store(first.len() as u32, rest));
        // another agent had stored all of it in pieces
        let mut block = self::block();
        let end = SIZE as usize;
        let pieces = [name(&block, 0, 900, &wal()), name(&block, 900, end, &wal())];
        block.found([&pieces[..], &[filled(&block, 77)]].concat());
        drop(block.append(wal()));
        assert_eq!(block.work(true).unwrap(), Work::Nothing);
        assert!(block.is_durable() && block.whole().is_none());
        // the same bytes, and different ones
        let mut block = self::block();
        block.found(vec![name(&block, 0, end, &wal())]);
        drop(block.append(wal()));
        assert_eq!((block.work(true).unwrap(), block.is_durable()), (Work::Nothing, true));
        let mut block = self::block();
        block.found(vec![name(&block, 0, end, &wal().slice(..).iter().map(|n| n ^ 1).collect())]);
        drop(block.append(wal()));
        assert_eq!(block.work(true).unwrap_err().kind(), Kind::AlreadyExists);
    }
}
