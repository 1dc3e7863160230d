//! One file of a cluster into packs: read once up to its listed size, hashed block by block, its pages
//! checked on the way; only blocks that the chain does not hold are stored. The digest of the file is put
//! together from those of its blocks.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::archive::blake3::{Blake3, InOrder, Link, block_links, link};
use crate::archive::digest::FileDigest;
use crate::archive::index::{Entry, Part};
use crate::archive::pack::{EXTENT_BYTES, Member};
use crate::backup::base::cluster_files::ClusterFile;
use crate::backup::file_reader::{fill, mtime_ns};
use crate::backup::pace::Pace;
use crate::catalog::known_base::{BLOCK_BYTES, KnownFile, Links};
use crate::disk;
use crate::error::{Error, Result};
use crate::names::Lsn;
use crate::postgres::page::{self, PAGE_BYTES, PageState};
use crate::postgres::summaries::CHUNK_BYTES;
use crate::repository::pack_worker::{PackWorker, Stored};

/// Read, checked and hashed at once, while it is in the processor's cache; blocks divide it.
const SLICE_BYTES: usize = 256 << 10;
const _: () = assert!(*BLOCK_BYTES.end() as u64 <= CHUNK_BYTES, "a block lies in one chunk");
const _: () =
    assert!(SLICE_BYTES > *BLOCK_BYTES.end() as usize, "a file of one block is told by its first slice");
/// A file has about this many blocks before they become longer.
const BLOCKS_GOAL: u64 = 1024;

/// How pages are checked.
#[derive(Clone, Copy, Debug)]
pub struct PageCheck {
    /// Younger pages are written anew by replay.
    pub start_lsn: Lsn,
    /// Pages in a segment of a relation.
    pub segment_blocks: u32,
}

impl ReadBase {
    /// A file that is as the chain holds it.
    pub fn unread(known: KnownFile) -> ReadBase {
        let unread = known.entry.bytes;
        ReadBase { known, unread, bad: Vec::new(), stored: 0 }
    }
}

impl PageCheck {
    /// The number of the page at `offset` of a segment.
    fn first_page(self, segment: u32, offset: u64) -> u32 {
        segment.wrapping_mul(self.segment_blocks).wrapping_add((offset / PAGE_BYTES as u64) as u32)
    }
}

/// A file that was read.
pub struct ReadBase {
    /// For the index and for the next backup.
    pub known: KnownFile,
    /// Bytes that were not read: they are as the chain holds them.
    pub unread: u64,
    /// Pages that are bad, counted from the start of the relation.
    pub bad: Vec<u32>,
    /// Bytes that were stored.
    pub stored: u64,
}

impl Packed {
    /// Adds what lies behind it.
    pub fn append(&mut self, next: Packed) {
        self.digest.append(next.digest);
        self.blocks.append(next.blocks);
        next.parts.into_iter().for_each(|part| join(&mut self.parts, part));
        self.stored += next.stored;
        self.bad.extend(next.bad);
    }

    /// All of a file: `entry` without its parts, and what became of it.
    pub fn file(self, entry: Entry, block_bytes: u32) -> ReadBase {
        let flaw = (!self.bad.is_empty())
            .then(|| format!("{} pages with a wrong checksum: the source is damaged", self.bad.len()));
        let entry = Entry { flaw, parts: self.parts, ..entry };
        ReadBase {
            known: KnownFile { entry, block_bytes, blocks: self.blocks },
            unread: self.unread,
            bad: self.bad,
            stored: self.stored,
        }
    }
}

/// Reads files into one worker's packs.
pub struct BaseReader<'a> {
    worker: PackWorker,
    pace: &'a Pace,
    /// Place of this snapshot in the chain.
    own: u32,
    pages: Option<PageCheck>,
    buffer: Vec<u8>,
}

/// A file on its way.
struct Reading<'k> {
    path: &'k str,
    whole: bool,
    mode: u32,
    mtime: i64,
    old: Option<&'k KnownFile>,
    block_bytes: u32,
}

/// Where the bytes of a file, or of a piece of one, went.
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

/// A file whose content comes piece by piece.
pub struct Coming {
    /// Escaped path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// For files of relations, which segment of one.
    pub segment: Option<u32>,
    /// What the chain holds under its path.
    pub old: Option<KnownFile>,
}

impl Coming {
    /// How long its blocks are.
    pub fn block_bytes(&self) -> u32 {
        self.old.as_ref().map_or_else(|| block_bytes(self.bytes), |old| old.block_bytes)
    }
}

impl<'a> BaseReader<'a> {
    /// A reader into `worker`; `pages` where the cluster has checksums.
    pub fn new(worker: PackWorker, pace: &'a Pace, own: u32, pages: Option<PageCheck>) -> BaseReader<'a> {
        BaseReader { worker, pace, own, pages, buffer: vec![0; EXTENT_BYTES] }
    }

    /// Ends the packs.
    pub fn finish(self) -> Result<()> {
        self.worker.finish()
    }

    /// Reads a file; `None` where it is gone. `old` is what the chain holds under its path.
    ///
    /// # Errors
    /// Those of the store, and of a file that is there and cannot be read: without it there is no
    /// backup.
    pub fn read(&mut self, file: &ClusterFile, old: Option<&KnownFile>) -> Result<Option<ReadBase>> {
        let failed = |e| unreadable(file, e);
        let mut input = match disk::open_nofollow(&file.location) {
            Ok(input) => input,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let meta = input.metadata().map_err(failed)?;
        if let Some(old) = old.filter(|old| old.entry.bytes == file.bytes && worth_comparing(old, &meta)) {
            if let Some(read) = self.unchanged(&mut input, &meta, file, old)? {
                return Ok(Some(read));
            }
            input.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
        let reading = Reading {
            path: &file.path,
            whole: file.bytes <= EXTENT_BYTES as u64,
            mode: meta.mode() & 0o7777,
            mtime: meta.mtime(),
            old,
            block_bytes: old.map_or_else(|| block_bytes(file.bytes), |old| old.block_bytes),
        };
        let mut packed = Packed::default();
        let mut offset = 0;
        // As long as it was when it was listed: WAL has what was added since. What was cut since is
        // shorter now, and WAL has that, too.
        while offset < file.bytes || packed.parts.is_empty() {
            let wanted = (file.bytes - offset).min(EXTENT_BYTES as u64) as usize;
            self.pace.take(wanted as u64)?;
            let (mut n, mut links) = (0, Vec::new());
            while n < wanted {
                let end = wanted.min(n + SLICE_BYTES);
                let got = self.slice(&mut input, file, offset, n..end, &mut packed.bad)?;
                let slice = &self.buffer[n..n + got];
                links.extend(block_links(slice, offset + n as u64, reading.block_bytes));
                n += got;
                if n < end {
                    break;
                }
            }
            if n == 0 && !packed.parts.is_empty() {
                break;
            }
            extent(&mut self.worker, self.own, &reading, offset, &self.buffer[..n], links, &mut packed)?;
            offset += n as u64;
            if n < wanted {
                break;
            }
        }
        let entry = Entry {
            path: file.path.clone(),
            bytes: offset,
            mode: reading.mode,
            mtime_ns: mtime_ns(&meta),
            digest: FileDigest::Blake3(std::mem::take(&mut packed.digest).finish()),
            flaw: None,
            parts: Vec::new(),
        };
        Ok(Some(packed.file(entry, reading.block_bytes)))
    }

    /// Reads of a file that is not shorter than the chain holds it only what is new behind its end, and the chunks that
    /// were written since; `None` where it is gone, or was cut meanwhile.
    pub fn read_chunks(
        &mut self,
        file: &ClusterFile,
        old: &KnownFile,
        chunks: &BTreeSet<u32>,
    ) -> Result<Option<ReadBase>> {
        let failed = |e| unreadable(file, e);
        let (block_bytes, old_bytes) = (u64::from(old.block_bytes), old.entry.bytes);
        let input = match disk::open_nofollow(&file.location) {
            Ok(_) if old.blocks.all().len() as u64 != old_bytes.div_ceil(block_bytes) => return Ok(None),
            Ok(input) => input,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let meta = input.metadata().map_err(failed)?;
        let reading = Reading {
            path: &file.path,
            whole: file.bytes <= EXTENT_BYTES as u64,
            mode: meta.mode() & 0o7777,
            mtime: meta.mtime(),
            old: Some(old),
            block_bytes: old.block_bytes,
        };
        let mut packed = Packed::default();
        for start in (0..file.bytes).step_by(EXTENT_BYTES) {
            let end = file.bytes.min(start + EXTENT_BYTES as u64);
            let mut links = Vec::with_capacity(EXTENT_BYTES / old.block_bytes as usize);
            for offset in (start..end).step_by(old.block_bytes as usize) {
                let bytes = block_bytes.min(end - offset);
                let as_long =
                    offset + bytes <= old_bytes && (bytes == block_bytes || file.bytes == old_bytes);
                if as_long && !chunks.contains(&((offset / CHUNK_BYTES) as u32)) {
                    links.push(old.blocks.all()[(offset / block_bytes) as usize]);
                    packed.unread += bytes;
                    continue;
                }
                self.pace.take(bytes)?;
                let data = &mut self.buffer[(offset - start) as usize..][..bytes as usize];
                match input.read_exact_at(data, offset) {
                    Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                    read => read.map_err(failed)?,
                }
                if let (Some(check), Some(segment)) = (self.pages, file.segment) {
                    let first = check.first_page(segment, offset);
                    check_pages(&input, data, offset, first, check.start_lsn, &mut packed.bad);
                }
                links.push(link(data, offset));
            }
            // What was not read is as it was, so nobody looks at it in the buffer.
            let data = &self.buffer[..(end - start) as usize];
            extent(&mut self.worker, self.own, &reading, start, data, links, &mut packed)?;
        }
        let entry = Entry {
            path: file.path.clone(),
            bytes: file.bytes,
            mode: reading.mode,
            mtime_ns: mtime_ns(&meta),
            digest: FileDigest::Blake3(std::mem::take(&mut packed.digest).finish()),
            flaw: None,
            parts: Vec::new(),
        };
        Ok(Some(packed.file(entry, old.block_bytes)))
    }

    /// A piece of at most an extent, from `offset` on; the pieces of a file begin at multiples of an
    /// extent, and a file without content is one piece.
    pub fn piece(&mut self, file: &Coming, offset: u64, data: &[u8]) -> Result<Packed> {
        let reading = Reading {
            path: &file.path,
            whole: file.bytes <= EXTENT_BYTES as u64,
            mode: file.mode,
            mtime: file.mtime,
            old: file.old.as_ref(),
            block_bytes: file.block_bytes(),
        };
        let mut packed = Packed::default();
        if let (Some(check), Some(segment)) = (self.pages, file.segment) {
            let first = check.first_page(segment, offset);
            for (block, page) in (first..).zip(data.chunks_exact(PAGE_BYTES)) {
                if page::look(page, block, check.start_lsn.0) == PageState::Bad {
                    packed.bad.push(block);
                }
            }
        }
        let links = block_links(data, offset, reading.block_bytes);
        extent(&mut self.worker, self.own, &reading, offset, data, links, &mut packed)?;
        Ok(packed)
    }

    /// Compares a file with what the chain holds: `None` as soon as something differs; nothing was
    /// stored then.
    fn unchanged(
        &mut self,
        input: &mut File,
        meta: &Metadata,
        file: &ClusterFile,
        old: &KnownFile,
    ) -> Result<Option<ReadBase>> {
        let mut bad = Vec::new();
        let mut offset = 0;
        while offset < file.bytes {
            let wanted = (file.bytes - offset).min(SLICE_BYTES as u64) as usize;
            self.pace.take(wanted as u64)?;
            let n = self.slice(input, file, offset, 0..wanted, &mut bad)?;
            let first = (offset / u64::from(old.block_bytes)) as usize;
            let links = block_links(&self.buffer[..n], offset, old.block_bytes);
            if n < wanted || !old.blocks.have(first, &links) {
                return Ok(None);
            }
            offset += n as u64;
        }
        let entry = Entry { mode: meta.mode() & 0o7777, mtime_ns: mtime_ns(meta), ..old.entry.clone() };
        let (blocks, parts) = (old.blocks.clone(), old.entry.parts.clone());
        let packed = Packed { blocks, parts, bad, ..Packed::default() };
        Ok(Some(packed.file(entry, old.block_bytes)))
    }

    /// Reads into this range of the buffer, which begins at `offset` of the file, and checks the
    /// pages that came; how many bytes there were.
    fn slice(
        &mut self,
        input: &mut File,
        file: &ClusterFile,
        offset: u64,
        range: Range<usize>,
        bad: &mut Vec<u32>,
    ) -> Result<usize> {
        let offset = offset + range.start as u64;
        let data = &mut self.buffer[range];
        let n = fill(input, data).map_err(|e| unreadable(file, e))?;
        if let (Some(check), Some(segment)) = (self.pages, file.segment) {
            let first = check.first_page(segment, offset);
            check_pages(input, &mut data[..n], offset, first, check.start_lsn, bad);
        }
        Ok(n)
    }

    /// A small file that is in memory.
    pub fn text(&mut self, path: &str, mtime_ns: i64, data: &[u8]) -> Result<Entry> {
        let mode = 0o600;
        let Stored { pack, frame, at } =
            self.worker.append(Member::Whole(path), mode, mtime_ns / 1_000_000_000, data)?;
        let bytes = data.len() as u64;
        let part = Part { snapshot: self.own, pack, frame, at, offset: 0, bytes };
        let (path, digest) = (path.to_owned(), FileDigest::Blake3(Blake3::of(data)));
        Ok(Entry { path, bytes, mode, mtime_ns, digest, flaw: None, parts: vec![part] })
    }
}

/// Packs `data`, which lies in the file at `offset` and whose blocks have these links: runs of blocks that the chain holds are named, the
/// others stored.
fn extent(
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

fn unreadable(file: &ClusterFile, e: std::io::Error) -> Error {
    Error::file("read", &file.location, e).effect("there is no backup without it")
}

/// Whether it may pay to compare first and hash only what differs: a long file that differs has to be
/// read twice then, so its times are asked. They decide about time only.
fn worth_comparing(old: &KnownFile, meta: &Metadata) -> bool {
    old.entry.bytes <= EXTENT_BYTES as u64 || old.entry.mtime_ns == mtime_ns(meta)
}

fn block_bytes(file_bytes: u64) -> u32 {
    let mut block = *BLOCK_BYTES.start();
    while block < *BLOCK_BYTES.end() && file_bytes / u64::from(block) > BLOCKS_GOAL {
        block *= 2;
    }
    block
}

/// What of these parts lies in `from..to`.
fn pieces(parts: &[Part], from: u64, to: u64) -> impl Iterator<Item = Part> {
    let first = parts.partition_point(|part| part.offset + part.bytes <= from && part.bytes > 0);
    parts[first..].iter().take_while(move |part| part.offset < to || to == from).map(move |part| {
        let start = part.offset.max(from);
        let end = (part.offset + part.bytes).min(to);
        Part { at: part.at + (start - part.offset), offset: start, bytes: end - start, ..*part }
    })
}

/// Adds a part, as one with the last where they lie side by side.
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

/// Checks whole pages; a bad one is read once more, for it may have been written just then.
fn check_pages(input: &File, data: &mut [u8], offset: u64, first: u32, start: Lsn, bad: &mut Vec<u32>) {
    for (i, page) in data.chunks_exact_mut(PAGE_BYTES).enumerate() {
        let block = first.wrapping_add(i as u32);
        if page::look(page, block, start.0) != PageState::Bad {
            continue;
        }
        let mut again = [0; PAGE_BYTES];
        let read = input.read_exact_at(&mut again, offset + (i * PAGE_BYTES) as u64);
        match read.is_ok() && page::look(&again, block, start.0) != PageState::Bad {
            true => page.copy_from_slice(&again),
            // It cannot be read a second time where it was cut off meanwhile: then WAL knows of it.
            false if read.is_err() => {}
            false => bad.push(block),
        }
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
