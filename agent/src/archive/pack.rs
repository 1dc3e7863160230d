//! Packs: tar members, gathered into zstd frames of some 4 MiB that end at member boundaries, encrypted with
//! age and hashed as stored. [`Frames`] gathers and [`PackBuilder`] does the rest, so that each can have its
//! own thread; nothing larger than a frame is kept in memory.

use std::io::Write;

use crate::archive::compress::Compressor;
use crate::archive::digest::{Hashing, Sha256};
use crate::archive::seal::{Recipients, Sealed};
use crate::error::{Error, Kind, Result};

/// A frame ends at the first member boundary at or beyond this size.
pub const FRAME_BYTES: usize = 4 << 20;
/// Files larger than this are cut into extents of this size (the last one is shorter).
pub const EXTENT_BYTES: usize = 4 << 20;
const TAR_BLOCK: usize = 512;

/// Where packs are within their snapshot.
pub const FOLDER: &str = "packs/";

/// The name of a pack within its snapshot, counted from 0.
pub fn name(number: u32) -> String {
    format!("{FOLDER}{number:06}.tar.zst.age")
}

/// What a member is: a whole file or one extent of one. Paths are escaped (`archive::path`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member<'a> {
    /// `files/<path>`
    Whole(&'a str),
    /// `extents/<path>/<offset, 20 digits>`
    Extent(&'a str, u64),
}

impl Member<'_> {
    /// The member's name in the tar.
    fn tar_name(&self) -> String {
        match self {
            Member::Whole(path) => format!("files/{path}"),
            Member::Extent(path, offset) => format!("extents/{path}/{offset:020}"),
        }
    }
}

/// Where a member's content begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Frame of the pack, counted from 0.
    pub frame: u32,
    /// Byte in the decompressed frame.
    pub at: u64,
}

/// What a finished pack is.
pub struct PackEnd<W> {
    /// The writer that received the stored bytes; not flushed.
    pub sink: W,
    /// Stored size.
    pub bytes: u64,
    /// Digest of the stored bytes.
    pub sha256: Sha256,
    /// Where each frame begins in the zstd stream (that is, after decryption).
    pub frames: Vec<u64>,
}

/// Gathers the members of one pack into frames.
#[derive(Default)]
pub struct Frames {
    frame: Vec<u8>,
    ended: u32,
    plain_bytes: u64,
}

impl Frames {
    /// Bytes of tar so far.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Adds one member: at most [`EXTENT_BYTES`] of content, with the mode and modification time (seconds) of
    /// its file. `take` gets each complete frame, in order, and leaves an empty buffer for the next one.
    pub fn append(
        &mut self,
        member: Member<'_>,
        mode: u32,
        mtime: i64,
        data: &[u8],
        take: &mut dyn FnMut(&mut Vec<u8>) -> Result<()>,
    ) -> Result<FramePlace> {
        assert!(data.len() <= EXTENT_BYTES, "a member is at most one extent");
        let name = member.tar_name();
        let padding = data.len().next_multiple_of(TAR_BLOCK) - data.len();
        if !self.frame.is_empty() && self.frame.len() + data.len() > FRAME_BYTES {
            self.end_frame(take)?;
        }
        let before = self.frame.len();
        if name.len() > 100 {
            // GNU long name: an entry of its own that carries the next one's name.
            let mut long = name.clone().into_bytes();
            long.push(0);
            let header = header("././@LongLink", tar::EntryType::GNULongName, 0o644, 0, long.len())?;
            self.frame.extend_from_slice(header.as_bytes());
            self.frame.extend_from_slice(&long);
            self.frame.resize(self.frame.len().next_multiple_of(TAR_BLOCK), 0);
        }
        let short = if name.len() > 100 { "long" } else { name.as_str() };
        let header = header(short, tar::EntryType::Regular, mode & 0o7777, mtime, data.len())?;
        self.frame.extend_from_slice(header.as_bytes());
        let place = FramePlace { frame: self.ended, at: self.frame.len() as u64 };
        self.frame.extend_from_slice(data);
        self.frame.resize(self.frame.len() + padding, 0);
        self.plain_bytes += (self.frame.len() - before) as u64;
        if self.frame.len() >= FRAME_BYTES {
            self.end_frame(take)?;
        }
        Ok(place)
    }

    fn end_frame(&mut self, take: &mut dyn FnMut(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        take(&mut self.frame)?;
        self.frame.clear();
        self.ended += 1;
        Ok(())
    }

    /// Ends the tar and the last frame; the next member begins another pack.
    pub fn end(&mut self, take: &mut dyn FnMut(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        self.frame.resize(self.frame.len() + 2 * TAR_BLOCK, 0);
        self.end_frame(take)?;
        (self.ended, self.plain_bytes) = (0, 0);
        Ok(())
    }
}

/// Compresses and encrypts the frames of one pack.
pub struct PackBuilder<W: Write> {
    out: Sealed<Hashing<W>>,
    compressed: Vec<u8>,
    frames: Vec<u64>,
    position: u64,
}

impl<W: Write> PackBuilder<W> {
    /// Begins a pack that is encrypted to `recipients` and stored into `sink`.
    pub fn new(recipients: &Recipients, sink: W) -> Result<PackBuilder<W>> {
        Ok(PackBuilder {
            out: recipients.seal(Hashing::new(sink))?,
            compressed: Vec::new(),
            frames: Vec::new(),
            position: 0,
        })
    }

    /// Adds a frame.
    pub fn frame(&mut self, zstd: &mut Compressor, frame: &[u8]) -> Result<()> {
        zstd.frame(frame, &mut self.compressed)?;
        self.frames.push(self.position);
        self.position += self.compressed.len() as u64;
        self.out.write_all(&self.compressed).map_err(write_failed)
    }

    /// Ends the encryption.
    pub fn finish(self) -> Result<PackEnd<W>> {
        let (sink, sha256, bytes) = self.out.finish().map_err(write_failed)?.finish();
        Ok(PackEnd { sink, bytes, sha256, frames: self.frames })
    }
}

fn write_failed(e: std::io::Error) -> Error {
    Error::carried(Kind::Io, "cannot write a pack", e)
}

fn header(name: &str, kind: tar::EntryType, mode: u32, mtime: i64, bytes: usize) -> Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    let field = header.as_gnu_mut().map(|gnu| &mut gnu.name);
    match field {
        // Set as bytes: set_path would drop a leading "./".
        Some(field) if name.len() <= field.len() => field[..name.len()].copy_from_slice(name.as_bytes()),
        _ => return Err(Error::new(Kind::Internal, format!("tar name {name:?} is too long"))),
    }
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime.max(0) as u64);
    header.set_size(bytes as u64);
    header.set_cksum();
    Ok(header)
}
