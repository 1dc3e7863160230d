//! The known filestore: which files of a tenant the repository already holds, and where. So a backup can skip
//! them by name, on a host that cannot read its own backups.
//!
//! One zstd stream: a JSON line of [`Known`], then a complete index (`archive::index`). Replaced as a whole,
//! after the snapshot that it describes exists.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::index::{Header, IndexReader, IndexWriter, Line};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Version of this file: 1.
    pub known: u32,
    /// The repository that holds the files.
    pub repository: String,
    /// The newest snapshot: the parent of the next.
    pub snapshot: SnapshotId,
    /// Snapshots whose indexes give the list: a complete one first, `snapshot` last.
    pub chain: Vec<SnapshotId>,
    /// Snapshots whose packs hold some of the files.
    pub sources: Vec<SnapshotId>,
    /// How much of each of them the list needs; empty in records of older versions.
    #[serde(default)]
    pub held: BTreeMap<SnapshotId, SourceBytes>,
}

/// The files in the packs of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBytes {
    /// Size of all of them, where it is known.
    pub stored: Option<u64>,
    /// Size of those that the list still needs.
    pub alive: u64,
}

type Input = BufReader<zstd::Decoder<'static, BufReader<File>>>;

/// The opened known filestore; its lines are in order.
pub struct KnownReader {
    /// The snapshots that it is based on.
    pub known: Known,
    /// The files.
    pub index: IndexReader<Input>,
}

/// Opens the file; `None` where there is none.
///
/// # Errors
/// `Integrity` when it is damaged: the caller continues without it.
pub fn open(path: &Path) -> Result<Option<KnownReader>> {
    let file = match disk::open(path) {
        Err(e) if e.kind() == Kind::NotFound => return Ok(None),
        other => other?,
    };
    let name = path.display().to_string();
    let bad = |why: String| Error::new(Kind::Integrity, format!("{name} is damaged")).because(why);
    let decoder = zstd::Decoder::new(file).map_err(|e| bad(e.to_string()))?;
    let mut input = BufReader::with_capacity(256 << 10, decoder);
    let mut line = String::new();
    input.read_line(&mut line).map_err(|e| bad(e.to_string()))?;
    let known: Known = serde_json::from_str(&line).map_err(|e| bad(e.to_string()))?;
    if known.known != 1 || known.chain.last() != Some(&known.snapshot) {
        return Err(bad("its first line is invalid".into()));
    }
    Ok(Some(KnownReader { known, index: IndexReader::new(&name, input)? }))
}

/// Writes the next one beside the old one, which stays until [`StagedKnown::publish`].
///
/// The first line is known only at the end; so the other lines are staged without it, and its zstd frame is
/// written before theirs.
pub struct KnownWriter {
    path: PathBuf,
    staged: PathBuf,
    index: IndexWriter<zstd::Encoder<'static, BufWriter<File>>>,
}

impl KnownWriter {
    /// Begins with the index header.
    pub fn create(path: &Path, header: &Header) -> Result<KnownWriter> {
        let staged = disk::staged_path(path);
        disk::remove_file(&staged)?;
        let out = BufWriter::with_capacity(256 << 10, disk::create_new(&staged, 0o600)?);
        let mut encoder = zstd::Encoder::new(out, 1).map_err(|e| Error::file("write", &staged, e))?;
        encoder.include_checksum(true).map_err(|e| Error::file("write", &staged, e))?;
        let index = IndexWriter::new(encoder, header)?;
        Ok(KnownWriter { path: path.to_owned(), staged, index })
    }

    /// Adds a file.
    pub fn write(&mut self, line: &Line) -> Result<()> {
        self.index.write(line)
    }

    /// Ends the lines; they do not count yet.
    pub fn end(self) -> Result<StagedKnown> {
        let failed = |e| Error::file("write", &self.staged, e);
        let out = self.index.into_inner().finish().map_err(failed)?;
        out.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok(StagedKnown { path: self.path, staged: self.staged })
    }
}

/// The next known filestore, complete except for its first line.
pub struct StagedKnown {
    path: PathBuf,
    staged: PathBuf,
}

impl StagedKnown {
    /// The file of the staged lines: a zstd stream of an index.
    pub fn staged(&self) -> &Path {
        &self.staged
    }

    /// Makes it the known filestore, durably. Call it when the snapshot exists.
    pub fn publish(self, known: &Known) -> Result<()> {
        let mut line = serde_json::to_vec(known)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the record of the filestore").because(e))?;
        line.push(b'\n');
        let whole = disk::staged_path(&self.staged);
        disk::remove_file(&whole)?;
        let mut out = disk::create_new(&whole, 0o600)?;
        let failed = |e| Error::file("write", &whole, e);
        // Consecutive zstd frames are one stream; each has its own checksum.
        let mut first = zstd::Encoder::new(&mut out, 1).map_err(failed)?;
        first.include_checksum(true).map_err(failed)?;
        first.write_all(&line).map_err(failed)?;
        first.finish().map_err(failed)?;
        std::io::copy(&mut disk::open(&self.staged)?, &mut out).map_err(failed)?;
        disk::publish(out, &whole, &self.path)?;
        disk::remove_file(&self.staged)
    }
}
