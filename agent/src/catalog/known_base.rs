//! The known base backup: every file of the last one, where its bytes are stored, and the digests of its
//! blocks. So the next one can store only the blocks that changed, on a host that cannot read its own
//! backups.
//!
//! One zstd stream: a JSON line of [`KnownBase`], then one line of [`KnownFile`] per file, sorted by path.
//! Replaced as a whole, after the snapshot that it describes exists.

use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::blake3::Link;
use crate::archive::hex::{hex, unhex};
use crate::archive::index::Entry;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, SnapshotId};

/// Longest line that is read: a file of some 100 GB.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Version of this file. Older versions had SHA-256.
pub const VERSION: u32 = 3;
/// How long a block may be: a power of two, one page at least.
pub const BLOCK_BYTES: RangeInclusive<u32> = 8 << 10..=64 << 10;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownBase {
    /// Version of this file: [`VERSION`].
    pub known_base: u32,
    /// The repository that holds it.
    pub repository: String,
    /// The cluster.
    pub system_identifier: String,
    /// The full backup first, the newest last; parts of files refer to it.
    pub chain: Vec<SnapshotId>,
    /// Where the newest began: what was not written since is unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<Begin>,
    /// And when, where files were read: a file with older times was not written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Clocks>,
}

/// One moment by the clocks of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// Which boot of the machine it is.
    pub boot: String,
    /// How long ago that was, in milliseconds: nobody can set this clock.
    pub uptime_ms: i64,
    /// The time, in nanoseconds since 1970: files get their times from this clock.
    pub time_ns: i64,
}

/// Where a base backup began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The position of its checkpoint's redo.
    pub start_lsn: Lsn,
    /// The timeline.
    pub timeline: TimelineId,
    /// Whether pages had checksums: WAL does not record that they are switched.
    pub data_checksums: bool,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// As in the index.
    pub entry: Entry,
    /// How long a block is; the last one may be shorter.
    pub block_bytes: u32,
    /// The link of each block.
    pub blocks: Links,
    /// Which file it was, before it was read; `None` where a server sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<FileIdentity>,
}

/// Which file it is, and when its content, owner or mode last changed. Size and modification time are in the
/// entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its ctime, in nanoseconds since 1970: the kernel sets it, and nobody else can.
    pub ctime_ns: i64,
}

impl From<&Metadata> for FileIdentity {
    fn from(meta: &Metadata) -> FileIdentity {
        let ctime_ns = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
        FileIdentity { device: meta.dev(), inode: meta.ino(), ctime_ns }
    }
}

/// Links of blocks; in JSON one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Links(Vec<Link>);

impl Links {
    /// The links of a file.
    pub fn of(links: &[Link]) -> Links {
        Links(links.to_vec())
    }

    /// Adds the links that follow.
    pub fn append(&mut self, mut next: Links) {
        self.0.append(&mut next.0);
    }

    /// Their size in bytes.
    pub fn bytes(&self) -> usize {
        self.0.len() * size_of::<Link>()
    }

    /// Whether these are the links of the blocks from `number` on.
    pub fn have(&self, number: usize, links: &[Link]) -> bool {
        self.0.get(number..).is_some_and(|rest| rest.starts_with(links))
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Link] {
        &self.0
    }
}

impl From<Links> for String {
    fn from(links: Links) -> String {
        hex(links.0.as_flattened())
    }
}

impl TryFrom<String> for Links {
    type Error = &'static str;
    fn try_from(text: String) -> std::result::Result<Links, &'static str> {
        let (links, rest) = text.as_bytes().as_chunks::<{ 2 * size_of::<Link>() }>();
        let link = |text: &[u8; 64]| std::str::from_utf8(text).ok().and_then(unhex);
        let links: Option<Vec<Link>> = links.iter().map(link).collect();
        links.filter(|_| rest.is_empty()).map(Links).ok_or("not the digests of blocks")
    }
}

/// The opened known base backup; files are in order.
pub struct KnownBaseReader {
    /// The base backup that it describes.
    pub known: KnownBase,
    name: String,
    input: BufReader<zstd::Decoder<'static, BufReader<File>>>,
}

/// Opens the file; `None` where there is none.
///
/// # Errors
/// `Integrity` when it is damaged: the caller continues without it.
pub fn open(path: &Path) -> Result<Option<KnownBaseReader>> {
    let file = match disk::open(path) {
        Err(e) if e.kind() == Kind::NotFound => return Ok(None),
        other => other?,
    };
    let name = path.display().to_string();
    let decoder = zstd::Decoder::new(file).map_err(|e| damaged(&name, e.to_string()))?;
    let mut input = BufReader::with_capacity(256 << 10, decoder);
    let line = read_line(&name, &mut input)?.unwrap_or_default();
    let known: KnownBase = serde_json::from_slice(&line).map_err(|e| damaged(&name, e.to_string()))?;
    if known.known_base != VERSION {
        let written = known.known_base;
        return Err(Error::new(
            Kind::Integrity,
            format!("{name} was written by another version of lifeboat"),
        )
        .because(format!("its version is {written}; this program writes and reads {VERSION}")));
    }
    if known.chain.is_empty() {
        return Err(damaged(&name, "its first line is invalid".into()));
    }
    Ok(Some(KnownBaseReader { known, name, input }))
}

fn damaged(name: &str, why: String) -> Error {
    Error::new(Kind::Integrity, format!("{name} is damaged")).because(why)
}

fn read_line(name: &str, input: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let n =
        input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(|e| damaged(name, e.to_string()))?;
    if n > 0 && line.pop() != Some(b'\n') {
        return Err(damaged(name, "a line has no end".into()));
    }
    Ok((n > 0).then_some(line))
}

impl Iterator for KnownBaseReader {
    type Item = Result<KnownFile>;

    fn next(&mut self) -> Option<Result<KnownFile>> {
        let line = read_line(&self.name, &mut self.input).transpose()?;
        let snapshots = self.known.chain.len();
        Some(line.and_then(|line| {
            let file: KnownFile =
                serde_json::from_slice(&line).map_err(|e| damaged(&self.name, e.to_string()))?;
            match file.entry.parts.iter().all(|part| (part.snapshot as usize) < snapshots)
                && BLOCK_BYTES.contains(&file.block_bytes)
                && file.block_bytes.is_power_of_two()
            {
                true => Ok(file),
                false => Err(damaged(&self.name, format!("{} is in an unknown snapshot", file.entry.path))),
            }
        }))
    }
}

/// Writes the next one beside the old one, which stays until it is published.
pub struct KnownBaseWriter {
    path: PathBuf,
    staged: PathBuf,
    out: zstd::Encoder<'static, BufWriter<File>>,
}

impl KnownBaseWriter {
    /// Begins with the first line.
    pub fn create(path: &Path, known: &KnownBase) -> Result<KnownBaseWriter> {
        let staged = disk::staged_path(path);
        disk::remove_file(&staged)?;
        let out = BufWriter::with_capacity(256 << 10, disk::create_new(&staged, 0o600)?);
        let mut out = zstd::Encoder::new(out, 1).map_err(|e| Error::file("write", &staged, e))?;
        out.include_checksum(true).map_err(|e| Error::file("write", &staged, e))?;
        let mut writer = KnownBaseWriter { path: path.to_owned(), staged, out };
        writer.line(known)?;
        Ok(writer)
    }

    /// Adds a file; files are added in order.
    pub fn write(&mut self, file: &KnownFile) -> Result<()> {
        self.line(file)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value).map_err(|e| {
            Error::new(Kind::Internal, "cannot write the record of the base backup").because(e)
        })?;
        line.push(b'\n');
        self.out.write_all(&line).map_err(|e| Error::file("write", &self.staged, e))
    }

    /// Ends it; it does not count yet.
    pub fn end(self) -> Result<StagedKnownBase> {
        let failed = |e| Error::file("write", &self.staged, e);
        let file = self.out.finish().map_err(failed)?.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok(StagedKnownBase { path: self.path, staged: self.staged, file })
    }
}

/// The next known base backup, complete.
pub struct StagedKnownBase {
    path: PathBuf,
    staged: PathBuf,
    file: File,
}

impl StagedKnownBase {
    /// Its entries, read again.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<Entry>>> {
        /// The fields of a file that an index needs.
        #[derive(Deserialize)]
        struct OfIndex {
            entry: Entry,
        }
        let gone = || damaged(&self.staged.display().to_string(), "it no longer exists".into());
        let KnownBaseReader { name, mut input, .. } = open(&self.staged)?.ok_or_else(gone)?;
        Ok(std::iter::from_fn(move || {
            let line = read_line(&name, &mut input).transpose()?;
            Some(line.and_then(|line| {
                let file = serde_json::from_slice::<OfIndex>(&line);
                file.map(|file| file.entry).map_err(|e| damaged(&name, e.to_string()))
            }))
        }))
    }

    /// Makes it the known base backup, durably. Call it when the snapshot exists.
    pub fn publish(self) -> Result<()> {
        disk::publish(self.file, &self.staged, &self.path)
    }
}
