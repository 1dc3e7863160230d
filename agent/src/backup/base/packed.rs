//! Where the bytes of a cluster's file are stored: runs of blocks that the chain holds are referenced, the
//! others are stored.

use crate::archive::blake3::{InOrder, Link};
use crate::archive::index::{Entry, Part};
use crate::archive::pack::Member;
use crate::catalog::known_base::{BLOCK_BYTES, FileIdentity, KnownFile, Links};
use crate::error::Result;
use crate::repository::pack_worker::{PackWorker, Stored};

/// A file is divided into at most about this many blocks; larger files have longer blocks.
const BLOCKS_GOAL: u64 = 1024;

/// A file that was read.
pub struct ReadBase {
    /// For the index and for the next backup.
    pub known: KnownFile,
    /// Bytes that were not read because the chain holds them unchanged.
    pub unread: u64,
    /// How many of these are unchanged according to the times of the file.
    pub trusted: u64,
    /// Bytes that are unchanged according to the times of the file, and were read and compared.
    pub compared: u64,
    /// Pages that are bad, counted from the start of the relation.
    pub bad: Vec<u32>,
    /// Bytes that were stored.
    pub stored: u64,
}

impl ReadBase {
    /// A file that is unchanged since the chain's last backup.
    pub fn unread(known: KnownFile) -> ReadBase {
        let unread = known.entry.bytes;
        ReadBase { known, unread, trusted: 0, compared: 0, bad: Vec::new(), stored: 0 }
    }

    /// The same according to its times; `compared` bytes of it were compared.
    pub fn trusted(known: KnownFile, compared: u64) -> ReadBase {
        let trusted = known.entry.bytes - compared;
        ReadBase { trusted, unread: trusted, compared, ..ReadBase::unread(known) }
    }
}

/// Where the bytes of a file, or of a piece of one, are stored.
#[derive(Default)]
pub struct Packed {
    /// Of all of it.
    pub digest: InOrder,
    /// One for each block.
    pub blocks: Links,
    /// Ascending.
    pub parts: Vec<Part>,
    /// Bytes that were stored.
    pub stored: u64,
    /// Bytes that were not read.
    pub unread: u64,
    /// Pages that are bad, counted from the start of the relation.
    pub bad: Vec<u32>,
}

impl Packed {
    /// Adds the piece that follows it.
    pub fn append(&mut self, next: Packed) {
        self.digest.append(next.digest);
        self.blocks.append(next.blocks);
        next.parts.into_iter().for_each(|part| join(&mut self.parts, part));
        self.stored += next.stored;
        self.bad.extend(next.bad);
    }

    /// A whole file: `entry` without its parts, which file it was, and what was done.
    pub fn file(self, entry: Entry, block_bytes: u32, seen: Option<FileIdentity>) -> ReadBase {
        let flaw = (!self.bad.is_empty()).then(|| {
            format!("{} pages with a wrong checksum: damaged in the database itself", self.bad.len())
        });
        let entry = Entry { flaw, parts: self.parts, ..entry };
        ReadBase {
            known: KnownFile { entry, block_bytes, blocks: self.blocks, seen },
            unread: self.unread,
            trusted: 0,
            compared: 0,
            bad: self.bad,
            stored: self.stored,
        }
    }
}

/// A file that is being read.
pub(super) struct Reading<'k> {
    pub path: &'k str,
    pub whole: bool,
    pub mode: u32,
    pub mtime: i64,
    pub old: Option<&'k KnownFile>,
    pub block_bytes: u32,
}

/// Packs `data`, which is in the file at `offset` and whose blocks have these links: runs of blocks that the
/// chain holds are referenced, the others are stored.
pub(super) fn extent(
    worker: &mut PackWorker,
    own: u32,
    reading: &Reading<'_>,
    offset: u64,
    data: &[u8],
    links: Vec<Link>,
    packed: &mut Packed,
) -> Result<()> {
    let n = data.len();
    let block = reading.block_bytes as usize;
    let mut runs: Vec<(bool, usize, usize)> = Vec::new();
    for (i, data) in data.chunks(block).enumerate() {
        let number = (offset / block as u64) as usize + i;
        let old = reading.old.and_then(|old| old.blocks.all().get(number));
        let same = old.is_some() && old == links.get(i);
        match runs.last_mut() {
            Some((kind, _, end)) if *kind == same => *end += data.len(),
            _ => runs.push((same, i * block, i * block + data.len())),
        }
    }
    packed.blocks.append(Links::of(&links));
    packed.digest.append(InOrder::of(links));
    if n == 0 {
        let old = reading.old.filter(|old| old.entry.bytes == 0);
        runs.push((old.is_some(), 0, 0));
    }
    for (same, start, end) in runs {
        let (from, to) = (offset + start as u64, offset + end as u64);
        match reading.old.filter(|_| same) {
            Some(old) => pieces(&old.entry.parts, from, to).for_each(|part| join(&mut packed.parts, part)),
            None => {
                let whole = reading.whole && start == 0 && end == n;
                let member =
                    if whole { Member::Whole(reading.path) } else { Member::Extent(reading.path, from) };
                let data = &data[start..end];
                let Stored { pack, frame, at } = worker.append(member, reading.mode, reading.mtime, data)?;
                let bytes = data.len() as u64;
                packed.parts.push(Part { snapshot: own, pack, frame, at, offset: from, bytes });
                packed.stored += bytes;
            }
        }
    }
    Ok(())
}

/// The block length of a file that the chain does not hold.
pub(super) fn block_bytes(file_bytes: u64) -> u32 {
    let mut block = *BLOCK_BYTES.start();
    while block < *BLOCK_BYTES.end() && file_bytes / u64::from(block) > BLOCKS_GOAL {
        block *= 2;
    }
    block
}

/// The pieces of these parts that are within `from..to`.
fn pieces(parts: &[Part], from: u64, to: u64) -> impl Iterator<Item = Part> {
    let first = parts.partition_point(|part| part.offset + part.bytes <= from && part.bytes > 0);
    parts[first..].iter().take_while(move |part| part.offset < to || to == from).map(move |part| {
        let start = part.offset.max(from);
        let end = (part.offset + part.bytes).min(to);
        Part { at: part.at + (start - part.offset), offset: start, bytes: end - start, ..*part }
    })
}

/// Adds a part, and merges it with the last one where they are adjacent.
fn join(parts: &mut Vec<Part>, part: Part) {
    match parts.last_mut() {
        Some(last)
            if (last.snapshot, last.pack, last.frame) == (part.snapshot, part.pack, part.frame)
                && last.at + last.bytes == part.at
                && last.offset + last.bytes == part.offset =>
        {
            last.bytes += part.bytes;
        }
        _ => parts.push(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_and_joined_without_gaps() {
        let part = |snapshot, at, offset, bytes| Part { snapshot, pack: 0, frame: 0, at, offset, bytes };
        let parts = [part(0, 512, 0, 100), part(1, 9000, 100, 50), part(0, 612 + 50, 150, 50)];
        let cut: Vec<Part> = pieces(&parts, 40, 160).collect();
        assert_eq!(cut, [part(0, 552, 40, 60), part(1, 9000, 100, 50), part(0, 662, 150, 10)]);
        let mut joined = Vec::new();
        for part in pieces(&parts, 0, 40).chain(pieces(&parts, 40, 120)) {
            join(&mut joined, part);
        }
        assert_eq!(joined, [part(0, 512, 0, 100), part(1, 9000, 100, 20)]);
        assert_eq!(pieces(&[part(2, 7, 0, 0)], 0, 0).count(), 1, "an empty file has one empty part");
        assert_eq!(
            (block_bytes(0), block_bytes(9 << 20), block_bytes(1 << 30)),
            (8 << 10, 16 << 10, 64 << 10)
        );
    }
}
