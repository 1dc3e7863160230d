//! Reads one file of a filestore into packs: once, hashed on the way, checked against the name that Odoo gave
//! it.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use sha1::Digest as _;

use crate::archive::digest::{FileDigest, Sha256};
use crate::archive::hex::hex;
use crate::archive::index::{Entry, Part};
use crate::archive::pack::{EXTENT_BYTES, Member};
use crate::backup::pace::Pace;
use crate::clock;
use crate::disk::beneath::Dir;
use crate::error::Result;
use crate::odoo::filestore::plain_mode;
use crate::repository::pack_worker::{PackWorker, Stored};

/// Odoo writes straight to the final name: a file whose content does not match its name is read again after
/// this...
const SECOND_LOOK: Duration = Duration::from_millis(250);
/// ... where it was written so recently.
const STILL_WRITTEN: Duration = Duration::from_secs(60);

/// What reading a file gave.
pub enum ReadFile {
    /// It is in the packs; `snapshot` is the place of this snapshot in the index's table.
    Stored(Entry),
    /// It was deleted before it was opened.
    Vanished,
    /// It could not be read, and why.
    Unreadable(String),
}

/// Reads files into one worker's packs.
pub struct FileReader<'a> {
    worker: &'a mut PackWorker,
    pace: &'a Pace,
    /// Place of the snapshot that is being written in the index's table.
    snapshot: u32,
    buffer: Vec<u8>,
}

struct Content {
    bytes: u64,
    sha256: Sha256,
    sha1: String,
    parts: Vec<Part>,
    mode: u32,
    mtime_ns: i64,
}

impl Content {
    fn entry(self, path: &str, flaw: Option<String>) -> Entry {
        let Content { bytes, mode, mtime_ns, sha256, parts, .. } = self;
        let digest = FileDigest::Sha256(sha256);
        Entry { path: path.to_owned(), bytes, mode, mtime_ns, digest, flaw, tenants: Vec::new(), parts }
    }
}

impl<'a> FileReader<'a> {
    /// A reader into `worker`.
    pub fn new(worker: &'a mut PackWorker, pace: &'a Pace, snapshot: u32) -> FileReader<'a> {
        FileReader { worker, pace, snapshot, buffer: vec![0; EXTENT_BYTES] }
    }

    /// Reads the file at `relative` below `dir`, whose escaped path in the archive is `path`. Where `sha1` is
    /// given, content that does not have it is looked at once more and then stored with a flaw.
    ///
    /// # Errors
    /// Those of the store only; those of the file are outcomes.
    pub fn read(&mut self, dir: &Dir, relative: &Path, path: &str, sha1: Option<&str>) -> Result<ReadFile> {
        let shown = || dir.path().join(relative).display().to_string();
        let mut looked_twice = false;
        loop {
            let input = dir.open_file(relative);
            let second_look = !looked_twice && input.as_ref().is_ok_and(|(_, meta)| is_recent(meta));
            let content = match self.content(input, &shown, path, sha1.filter(|_| second_look))? {
                Ok(content) => content,
                Err(Outcome::Vanished) => return Ok(ReadFile::Vanished),
                Err(Outcome::Unreadable(why)) => return Ok(ReadFile::Unreadable(why)),
                Err(Outcome::DoesNotFit) => {
                    looked_twice = true;
                    clock::sleep_blocking(SECOND_LOOK);
                    continue;
                }
            };
            let flaw = sha1.filter(|name| **name != content.sha1).map(|_| {
                format!(
                    "the SHA-1 of the content is {}, not the one in its name: the file is damaged at its source",
                    content.sha1
                )
            });
            if flaw.is_some() && second_look {
                looked_twice = true;
                clock::sleep_blocking(SECOND_LOOK);
                continue;
            }
            return Ok(ReadFile::Stored(content.entry(path, flaw)));
        }
    }

    /// The same for a file that counts only when its content has the SHA-1 that is its name. A file that does
    /// not match is reported, and what was stored of it is in no index. A file that was opened earlier is
    /// read although it may have been deleted since.
    ///
    /// # Errors
    /// Those of the store only.
    pub fn read_fitting(
        &mut self,
        input: std::io::Result<(File, Metadata)>,
        shown: &dyn Fn() -> String,
        path: &str,
        sha1: &str,
    ) -> Result<std::result::Result<Entry, Outcome>> {
        let content = match self.content(input, shown, path, Some(sha1))? {
            Ok(content) if content.sha1 != sha1 => return Ok(Err(Outcome::DoesNotFit)),
            Ok(content) => content,
            Err(outcome) => return Ok(Err(outcome)),
        };
        Ok(Ok(content.entry(path, None)))
    }

    /// Reads a file to its end and stores nothing: checks that its content has the SHA-1 that is its name.
    /// # Errors
    /// `Interrupted` only.
    pub fn compare(
        &mut self,
        input: std::io::Result<(File, Metadata)>,
        shown: &dyn Fn() -> String,
        sha1: &str,
    ) -> Result<std::result::Result<(), Outcome>> {
        let (mut input, meta) = match input {
            Ok(input) => input,
            Err(e) => return Ok(Err(Outcome::of(&e, shown))),
        };
        Ok(match has_sha1(&mut input, &meta, sha1, self.pace, &mut self.buffer)? {
            Ok(true) => Ok(()),
            Ok(false) => Err(Outcome::DoesNotFit),
            Err(e) => Err(Outcome::of(&e, shown)),
        })
    }

    /// `expected`: a SHA-1 that a file of one extent must have to be stored at all.
    fn content(
        &mut self,
        input: std::io::Result<(File, Metadata)>,
        shown: &dyn Fn() -> String,
        path: &str,
        expected: Option<&str>,
    ) -> Result<std::result::Result<Content, Outcome>> {
        let unreadable = |e: std::io::Error| Ok(Err(Outcome::of(&e, shown)));
        let (mut input, meta) = match input {
            Ok(input) => input,
            Err(e) => return unreadable(e),
        };
        let whole = meta.len() <= EXTENT_BYTES as u64;
        let mut sha256 = sha2::Sha256::new();
        let mut sha1 = sha1::Sha1::new();
        let mut parts = Vec::new();
        let mut offset = 0;
        // As long as it was when it was opened: of a file that grows meanwhile, no more is read.
        while offset < meta.len() || parts.is_empty() {
            let wanted = (meta.len() - offset).min(EXTENT_BYTES as u64) as usize;
            self.pace.take(wanted as u64)?;
            let n = match fill(&mut input, &mut self.buffer[..wanted]) {
                Ok(n) => n,
                Err(e) => return unreadable(e),
            };
            if n == 0 && !parts.is_empty() {
                break; // it was truncated meanwhile
            }
            let data = &self.buffer[..n];
            sha256.update(data);
            sha1.update(data);
            if whole && expected.is_some_and(|name| name != hex(&sha1.clone().finalize())) {
                return Ok(Err(Outcome::DoesNotFit));
            }
            let member = if whole { Member::Whole(path) } else { Member::Extent(path, offset) };
            let Stored { pack, frame, at } =
                self.worker.append(member, plain_mode(meta.mode()), meta.mtime(), data)?;
            parts.push(Part { snapshot: self.snapshot, pack, frame, at, offset, bytes: n as u64 });
            offset += n as u64;
        }
        Ok(Ok(Content {
            bytes: offset,
            sha256: Sha256(sha256.finalize().into()),
            sha1: hex(&sha1.finalize()),
            parts,
            mode: plain_mode(meta.mode()),
            mtime_ns: mtime_ns(&meta),
        }))
    }
}

/// Whether the content of an opened file has this SHA-1.
///
/// # Errors
/// `Interrupted` only.
pub fn has_sha1(
    input: &mut File,
    meta: &Metadata,
    sha1: &str,
    pace: &Pace,
    buffer: &mut [u8],
) -> Result<std::io::Result<bool>> {
    let (mut digest, mut left) = (sha1::Sha1::new(), meta.len());
    while left > 0 {
        let wanted = left.min(buffer.len() as u64) as usize;
        pace.take(wanted as u64)?;
        match fill(input, &mut buffer[..wanted]) {
            Ok(0) => break, // it was truncated meanwhile
            Ok(n) => digest.update(&buffer[..n]),
            Err(e) => return Ok(Err(e)),
        }
        left -= wanted as u64;
    }
    Ok(Ok(hex(&digest.finalize()) == sha1))
}

/// Why a file was not stored.
#[derive(Debug)]
pub enum Outcome {
    /// It was deleted before it was opened.
    Vanished,
    /// It could not be read, and why.
    Unreadable(String),
    /// The SHA-1 of its content is not the one in its name, or not yet.
    DoesNotFit,
}

impl Outcome {
    fn of(e: &std::io::Error, shown: &dyn Fn() -> String) -> Outcome {
        match e.kind() {
            ErrorKind::NotFound => Outcome::Vanished,
            _ => Outcome::Unreadable(format!("{}: {e}", shown())),
        }
    }
}

fn is_recent(meta: &std::fs::Metadata) -> bool {
    let age = i128::from(clock::now().as_second()) - i128::from(meta.mtime());
    age < i128::from(STILL_WRITTEN.as_secs())
}

/// Modification time in nanoseconds since 1970.
pub fn mtime_ns(meta: &std::fs::Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

/// Reads until the buffer is full or the file ends; how many bytes that were.
pub fn fill(input: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match input.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}
