//! Reads one file of a cluster into packs: once, up to its listed size, hashed block by block, with its pages
//! checked on the way. Only blocks that the chain does not hold are stored. The digest of the file is
//! computed from those of its blocks.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::archive::blake3::{Blake3, block_links, link};
use crate::archive::digest::FileDigest;
use crate::archive::index::{Entry, Part};
use crate::archive::pack::{EXTENT_BYTES, Member};
use crate::backup::base::cluster_files::ClusterFile;
use crate::backup::base::packed::{Packed, ReadBase, Reading, block_bytes, extent};
use crate::backup::file_reader::{fill, mtime_ns};
use crate::backup::pace::Pace;
use crate::catalog::known_base::{BLOCK_BYTES, FileIdentity, KnownFile};
use crate::disk;
use crate::error::{Error, Result};
use crate::names::Lsn;
use crate::postgres::page::{self, PAGE_BYTES, PageState};
use crate::postgres::summaries::CHUNK_BYTES;
use crate::repository::pack_worker::{PackWorker, Stored};

/// Bytes that are read, checked and hashed together, while they are in the processor's cache; a multiple of
/// the block length.
const SLICE_BYTES: usize = 256 << 10;
const _: () = assert!(*BLOCK_BYTES.end() as u64 <= CHUNK_BYTES, "a block lies in one chunk");
const _: () =
    assert!(SLICE_BYTES > *BLOCK_BYTES.end() as usize, "a file of one block is told by its first slice");

/// How pages are checked.
#[derive(Clone, Copy, Debug)]
pub struct PageCheck {
    /// Replay overwrites pages newer than this.
    pub start_lsn: Lsn,
    /// Pages in a segment of a relation.
    pub segment_blocks: u32,
}

impl PageCheck {
    /// The number of the page at `offset` of a segment.
    fn first_page(self, segment: u32, offset: u64) -> u32 {
        segment.wrapping_mul(self.segment_blocks).wrapping_add((offset / PAGE_BYTES as u64) as u32)
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

/// A file whose content arrives piece by piece.
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

/// The result of comparing a file that is unchanged according to its times.
pub enum Compared {
    /// So many bytes were read, and they are unchanged.
    Same(u64),
    /// They have changed, although its times still have not.
    Differs,
    /// It was written or removed just now, so its times prove nothing.
    Written,
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

    /// Reads a file; `None` where it no longer exists. `old` is what the chain holds under its path.
    ///
    /// # Errors
    /// Those of the store, and of a file that exists and cannot be read: without it there is no backup.
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
        // As long as it was when it was listed: WAL has what was added since. A file that was truncated since
        // is shorter now, and WAL has that as well.
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
            tenants: Vec::new(),
            parts: Vec::new(),
        };
        Ok(Some(packed.file(entry, reading.block_bytes, Some(FileIdentity::from(&meta)))))
    }

    /// Of a file that is not shorter than the chain holds it, reads only what is new at its end and the
    /// chunks that were written since; `None` where it no longer exists, or was truncated meanwhile.
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
            // Chunks that were not read are unchanged, so their part of the buffer is not used.
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
            tenants: Vec::new(),
            parts: Vec::new(),
        };
        Ok(Some(packed.file(entry, old.block_bytes, Some(FileIdentity::from(&meta)))))
    }

    /// Packs a piece of at most an extent, from `offset` on. The pieces of a file begin at multiples of an
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

    /// Reads these pieces of a file that is unchanged according to its times, and compares them; they begin
    /// at multiples of an extent.
    pub fn compare(
        &mut self,
        file: &ClusterFile,
        old: &KnownFile,
        pieces: impl Iterator<Item = Range<u64>>,
    ) -> Result<Compared> {
        let failed = |e| unreadable(file, e);
        let (mut input, mut compared) = (None, 0);
        for piece in pieces {
            let input = match &input {
                Some(input) => input,
                None => match disk::open_nofollow(&file.location) {
                    Ok(opened) => input.insert(opened),
                    Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Compared::Written),
                    Err(e) => return Err(failed(e)),
                },
            };
            let bytes = piece.end - piece.start;
            self.pace.take(bytes)?;
            let data = &mut self.buffer[..bytes as usize];
            let is_whole = match input.read_exact_at(data, piece.start) {
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => false,
                read => read.map(|()| true).map_err(failed)?,
            };
            let first = (piece.start / u64::from(old.block_bytes)) as usize;
            if !is_whole || !old.blocks.have(first, &block_links(data, piece.start, old.block_bytes)) {
                let now = input.metadata().map_err(failed)?;
                let is_same = FileIdentity::from(&now) == file.seen && mtime_ns(&now) == file.mtime_ns;
                return Ok(if is_same { Compared::Differs } else { Compared::Written });
            }
            compared += bytes;
        }
        Ok(Compared::Same(compared))
    }

    /// Compares a file with what the chain holds: `None` as soon as something differs; then nothing was
    /// stored.
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
        Ok(Some(packed.file(entry, old.block_bytes, Some(FileIdentity::from(meta)))))
    }

    /// Reads into this range of the buffer, which begins at `offset` of the file, and checks the pages; how
    /// many bytes were read.
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
        Ok(Entry { path, bytes, mode, mtime_ns, digest, flaw: None, tenants: Vec::new(), parts: vec![part] })
    }
}

fn unreadable(file: &ClusterFile, e: std::io::Error) -> Error {
    Error::file("read", &file.location, e).effect("no base backup was stored")
}

/// Whether it may be faster to compare first and hash only what differs. A long file that differs is then
/// read twice, so this depends on its times. They decide only about speed.
fn worth_comparing(old: &KnownFile, meta: &Metadata) -> bool {
    old.entry.bytes <= EXTENT_BYTES as u64 || old.entry.mtime_ns == mtime_ns(meta)
}

/// Checks whole pages; a bad one is read once more, because the server may have been writing it.
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
            // It cannot be read again where it was truncated meanwhile: WAL has that.
            false if read.is_err() => {}
            false => bad.push(block),
        }
    }
}
