//! Indexes: one JSON line per file, sorted by escaped path, which says where each byte is stored.
//!
//! The first line is the header with the table of snapshots that the other lines refer to. The lines of a
//! *complete* index are all files; those of any other index are the files added and removed since its parent.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::archive::blake3::Blake3;
use crate::archive::digest::{FileDigest, Sha256};
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};

/// The name of a snapshot's index.
pub const NAME: &str = "index.zst.age";
/// Longest line that is read: one file of 1 TB in extents of 4 MiB.
const LINE_BYTES_MAX: u64 = 32 << 20;
/// The version written in the header line.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the index format: 1.
    pub lifeboat_index: u32,
    /// Whether the lines are all files, or the difference from the parent snapshot.
    pub complete: bool,
    /// Snapshots whose packs are named, oldest first; parts count in this table from 0.
    pub snapshots: Vec<SnapshotId>,
}

impl Header {
    /// A header of the current version.
    pub fn new(complete: bool, snapshots: Vec<SnapshotId>) -> Header {
        Header { lifeboat_index: VERSION, complete, snapshots }
    }
}

/// Where some bytes of a file are stored: `[snapshot, pack, frame, at, offset, bytes]` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u32, u64, u64, u64)", into = "(u32, u32, u32, u64, u64, u64)")]
pub struct Part {
    /// Place in the header's table.
    pub snapshot: u32,
    /// Number of the pack in that snapshot.
    pub pack: u32,
    /// Frame of the pack.
    pub frame: u32,
    /// First byte in the decompressed frame.
    pub at: u64,
    /// First byte in the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl From<(u32, u32, u32, u64, u64, u64)> for Part {
    fn from((snapshot, pack, frame, at, offset, bytes): (u32, u32, u32, u64, u64, u64)) -> Part {
        Part { snapshot, pack, frame, at, offset, bytes }
    }
}

impl From<Part> for (u32, u32, u32, u64, u64, u64) {
    fn from(p: Part) -> Self {
        (p.snapshot, p.pack, p.frame, p.at, p.offset, p.bytes)
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "EntryRead")]
pub struct Entry {
    /// Escaped relative path (`archive::path`).
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Digest of the content.
    pub digest: FileDigest,
    /// What was already wrong with the file at its source; absent for good files.
    pub flaw: Option<String>,
    /// In arrivals: the tenants whose filestores had it. Empty in other snapshots, and in batches of older
    /// programs, which did not record it.
    pub tenants: Vec<TenantName>,
    /// Ascending by offset, without gaps; an empty file has one part of no bytes.
    pub parts: Vec<Part>,
}

/// The written form of [`Entry`].
#[derive(Serialize)]
struct EntryWritten<'a> {
    path: &'a str,
    bytes: u64,
    mode: u32,
    mtime_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<Blake3>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flaw: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tenants: &'a [TenantName],
    parts: &'a [Part],
}

impl Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Entry { path, bytes, mode, mtime_ns, digest, flaw, tenants, parts } = self;
        let (sha256, blake3) = match *digest {
            FileDigest::Sha256(digest) => (Some(digest), None),
            FileDigest::Blake3(digest) => (None, Some(digest)),
        };
        let (bytes, mode, mtime_ns) = (*bytes, *mode, *mtime_ns);
        EntryWritten { path, bytes, mode, mtime_ns, sha256, blake3, flaw: flaw.as_deref(), tenants, parts }
            .serialize(serializer)
    }
}

/// The read form of [`Entry`].
#[derive(Deserialize)]
struct EntryRead {
    path: String,
    bytes: u64,
    mode: u32,
    mtime_ns: i64,
    sha256: Option<Sha256>,
    blake3: Option<Blake3>,
    flaw: Option<String>,
    #[serde(default)]
    tenants: Vec<TenantName>,
    parts: Vec<Part>,
}

impl TryFrom<EntryRead> for Entry {
    type Error = &'static str;

    fn try_from(read: EntryRead) -> std::result::Result<Entry, &'static str> {
        let EntryRead { path, bytes, mode, mtime_ns, flaw, tenants, parts, .. } = read;
        let digest = match (read.sha256, read.blake3) {
            (Some(digest), None) => FileDigest::Sha256(digest),
            (None, Some(digest)) => FileDigest::Blake3(digest),
            _ => return Err("a file has one digest, sha256 or blake3"),
        };
        Ok(Entry { path, bytes, mode, mtime_ns, digest, flaw, tenants, parts })
    }
}

/// One line after the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The file exists.
    File(Entry),
    /// The file of the parent no longer exists.
    Removed(String),
}

impl Line {
    /// The path that lines are sorted by.
    pub fn path(&self) -> &str {
        match self {
            Line::File(entry) => &entry.path,
            Line::Removed(path) => path,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Removed {
    path: String,
    removed: bool,
}

/// Writes an index; the caller flushes and closes the writer below.
pub struct IndexWriter<W: Write> {
    out: W,
    last: Option<String>,
    snapshots: u32,
}

impl<W: Write> IndexWriter<W> {
    /// Writes the header.
    pub fn new(mut out: W, header: &Header) -> Result<IndexWriter<W>> {
        write_line(&mut out, header)?;
        Ok(IndexWriter { out, last: None, snapshots: header.snapshots.len() as u32 })
    }

    /// Writes a line; paths must come in ascending byte order, each once.
    pub fn write(&mut self, line: &Line) -> Result<()> {
        let path = line.path();
        assert!(self.last.as_deref().is_none_or(|last| last < path), "index lines come sorted: {path}");
        match line {
            Line::File(entry) => {
                assert!(
                    entry.parts.iter().all(|p| p.snapshot < self.snapshots),
                    "parts name known snapshots"
                );
                write_line(&mut self.out, entry)?;
            }
            Line::Removed(path) => {
                write_line(&mut self.out, &Removed { path: path.clone(), removed: true })?;
            }
        }
        self.last = Some(path.to_owned());
        Ok(())
    }

    /// The writer below.
    pub fn into_inner(self) -> W {
        self.out
    }
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(value)
        .map_err(|e| Error::new(Kind::Internal, "cannot write an index line").because(e))?;
    line.push(b'\n');
    out.write_all(&line).map_err(|e| Error::carried(Kind::Io, "cannot write an index", e))
}

/// Reads an index line by line and checks each; memory is limited to one line.
pub struct IndexReader<R: BufRead> {
    name: String,
    input: R,
    header: Header,
    last: String,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> IndexReader<R> {
    /// Reads the header. `name` is the index's, for errors.
    pub fn new(name: &str, input: R) -> Result<IndexReader<R>> {
        let header = Header { lifeboat_index: 0, complete: false, snapshots: Vec::new() };
        let mut reader = IndexReader {
            name: name.to_owned(),
            input,
            header,
            last: String::new(),
            line: Vec::new(),
            number: 0,
        };
        if !reader.read_line()? {
            return Err(reader.bad("it is empty"));
        }
        reader.header = serde_json::from_slice(&reader.line).map_err(|e| reader.bad(&e.to_string()))?;
        if reader.header.lifeboat_index != VERSION {
            let version = reader.header.lifeboat_index;
            return Err(Error::new(
                Kind::Repository,
                format!("index {name} has version {version}; this program reads version {VERSION}"),
            )
            .next("use a Lifeboat at least as new as the one that wrote it"));
        }
        Ok(reader)
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn bad(&self, why: &str) -> Error {
        Error::new(Kind::Integrity, format!("line {} of index {} is wrong", self.number, self.name))
            .because(why.to_owned())
    }

    fn read_line(&mut self) -> Result<bool> {
        use std::io::Read;
        self.line.clear();
        self.number += 1;
        let n = (&mut self.input)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut self.line)
            .map_err(|e| Error::carried(Kind::Integrity, format!("cannot read index {}", self.name), e))?;
        if n > 0 && self.line.pop() != Some(b'\n') {
            return Err(self.bad("it is too long or has no end"));
        }
        Ok(n > 0)
    }

    fn parse(&mut self) -> Result<Line> {
        let line = if self.line.ends_with(b",\"removed\":true}") {
            let removed: Removed =
                serde_json::from_slice(&self.line).map_err(|e| self.bad(&e.to_string()))?;
            Line::Removed(removed.path)
        } else {
            let entry: Entry = serde_json::from_slice(&self.line).map_err(|e| self.bad(&e.to_string()))?;
            let mut end = 0u64;
            for part in &entry.parts {
                let known = (part.snapshot as usize) < self.header.snapshots.len();
                let next = end.checked_add(part.bytes);
                if !known || part.offset != end || next.is_none() {
                    return Err(self.bad("its parts are not contiguous, or are in an unknown snapshot"));
                }
                end = next.unwrap_or(end);
            }
            if end != entry.bytes || entry.parts.is_empty() {
                return Err(self.bad("its parts do not add up to its size"));
            }
            Line::File(entry)
        };
        crate::archive::path::unescape(line.path())?;
        if line.path() <= self.last.as_str() {
            return Err(self.bad("it is out of order"));
        }
        self.last.clear();
        self.last.push_str(line.path());
        Ok(line)
    }
}

impl<R: BufRead> Iterator for IndexReader<R> {
    type Item = Result<Line>;

    fn next(&mut self) -> Option<Result<Line>> {
        match self.read_line() {
            Ok(false) => None,
            Ok(true) => Some(self.parse()),
            Err(e) => Some(Err(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        let part = Part { snapshot: 0, pack: 1, frame: 2, at: 512, offset: 0, bytes: 3 };
        Entry {
            path: path.into(),
            bytes: 3,
            mode: 0o600,
            mtime_ns: 1,
            digest: FileDigest::Sha256(Sha256::of(b"abc")),
            flaw: None,
            tenants: Vec::new(),
            parts: vec![part],
        }
    }

    #[test]
    fn lines_round_trip_and_wrong_ones_are_refused() {
        let header = Header::new(true, vec!["20261120T015812Z-filestore-4f3a9c1e".parse().unwrap()]);
        let mut writer = IndexWriter::new(Vec::new(), &header).unwrap();
        let shared = Entry { tenants: vec!["shop".parse().unwrap(), "mill".parse().unwrap()], ..entry("c") };
        let lines = [Line::File(entry("a")), Line::Removed("b".into()), Line::File(shared)];
        for line in &lines {
            writer.write(line).unwrap();
        }
        let text = writer.into_inner();
        let reader = IndexReader::new("x", text.as_slice()).unwrap();
        assert_eq!(reader.header(), &header);
        assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), lines);
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(r#"{"path":"b","removed":true}"#), "break-glass relies on this form: {text}");
        assert_eq!(text.matches("tenants").count(), 1, "only arrivals say whose a file is: {text}");
        for (from, to) in [
            ("\"a\"", "\"../a\""),
            ("[0,1,2", "[1,1,2"),
            (",0,3]", ",0,4]"),
            (",0,3]", ",1,3]"),
            ("\"path\":\"a\"", "\"path\":\"z\""),
            ("\"bytes\":3", "\"bytes\":18446744073709551615"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text);
            let read = IndexReader::new("x", bad.as_bytes()).and_then(|r| r.collect::<Result<Vec<_>>>());
            assert!(read.is_err(), "{from} -> {to}");
        }
        let cut = &text.as_bytes()[..text.len() - 1];
        assert!(IndexReader::new("x", cut).and_then(|r| r.collect::<Result<Vec<_>>>()).is_err());
    }
}
