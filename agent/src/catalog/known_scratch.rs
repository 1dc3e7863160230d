//! The known base backup for files that come in any order, as a server sends them: looks files up by path,
//! and sorts the next one, in files without names and with little memory.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::catalog::known_base::{KnownBase, KnownBaseReader, KnownBaseWriter, KnownFile, StagedKnownBase};
use crate::catalog::state::StateDir;
use crate::error::{Error, Kind, Result};

/// Files that are sorted in memory at once are about this large.
const SORT_BYTES_MAX: usize = 16 << 20;
/// Longest entry that is read: a file of some 100 GB.
const ENTRY_BYTES_MAX: u32 = 64 << 20;

fn failed(e: std::io::Error) -> Error {
    Error::new(Kind::Io, "cannot read or write a temporary file in the state directory").because(e)
}

/// An entry: its length in four bytes, and JSON.
fn put(out: &mut impl Write, file: &KnownFile) -> Result<u64> {
    let json = serde_json::to_vec(file)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the record of a file").because(e))?;
    out.write_all(&(json.len() as u32).to_le_bytes()).and_then(|()| out.write_all(&json)).map_err(failed)?;
    Ok(4 + json.len() as u64)
}

/// The known base backup, for look-ups by path. Memory: 16 bytes per file.
pub struct KnownLookup {
    entries: File,
    /// Hash of the path and where the entry is, ascending.
    places: Vec<(u64, u64)>,
}

impl KnownLookup {
    /// Reads all entries.
    ///
    /// # Errors
    /// `Integrity` where the known base backup is damaged.
    pub fn new(state: &StateDir, known: KnownBaseReader) -> Result<KnownLookup> {
        let mut out = BufWriter::with_capacity(256 << 10, state.unnamed_file()?);
        let (mut places, mut at) = (Vec::new(), 0);
        for file in known {
            let file = file?;
            places.push((hash(&file.entry.path), at));
            at += put(&mut out, &file)?;
        }
        places.sort_unstable();
        let entries = out.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok(KnownLookup { entries, places })
    }

    /// The file under this path.
    pub fn get(&self, path: &str) -> Result<Option<KnownFile>> {
        let hash = hash(path);
        let first = self.places.partition_point(|(other, _)| *other < hash);
        for (_, at) in self.places[first..].iter().take_while(|(other, _)| *other == hash) {
            let mut length = [0; 4];
            self.entries.read_exact_at(&mut length, *at).map_err(failed)?;
            let mut json = vec![0; u32::from_le_bytes(length).min(ENTRY_BYTES_MAX) as usize];
            self.entries.read_exact_at(&mut json, at + 4).map_err(failed)?;
            let file: KnownFile = parse(&json)?;
            if file.entry.path == path {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

fn parse(json: &[u8]) -> Result<KnownFile> {
    serde_json::from_slice(json).map_err(|e| failed(e.into()))
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Sorts known files. Memory: 16 MiB, and a buffer for every 16 MiB of input.
pub struct KnownSorter<'a> {
    state: &'a StateDir,
    files: Vec<KnownFile>,
    bytes: usize,
    /// Sorted runs.
    runs: Vec<File>,
}

impl<'a> KnownSorter<'a> {
    /// An empty one.
    pub fn new(state: &'a StateDir) -> KnownSorter<'a> {
        KnownSorter { state, files: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    /// Adds a file.
    pub fn push(&mut self, file: KnownFile) -> Result<()> {
        let entry = &file.entry;
        self.bytes += 256 + entry.path.len() + 48 * entry.parts.len() + file.blocks.bytes();
        self.files.push(file);
        if self.bytes >= SORT_BYTES_MAX { self.end_run() } else { Ok(()) }
    }

    fn end_run(&mut self) -> Result<()> {
        self.files.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        let mut out = BufWriter::with_capacity(256 << 10, self.state.unnamed_file()?);
        for file in self.files.drain(..) {
            put(&mut out, &file)?;
        }
        let mut run = out.into_inner().map_err(|e| failed(e.into_error()))?;
        run.rewind().map_err(failed)?;
        self.runs.push(run);
        self.bytes = 0;
        Ok(())
    }

    /// All of them in order, as the next known base backup.
    ///
    /// # Errors
    /// `Integrity` where a path is listed twice.
    pub fn finish(mut self, path: &Path, known: &KnownBase) -> Result<StagedKnownBase> {
        self.end_run()?;
        let mut runs: Vec<Run> = self.runs.into_iter().map(Run::new).collect::<Result<_>>()?;
        let mut out = KnownBaseWriter::create(path, known)?;
        let mut last = String::new();
        loop {
            let heads = runs.iter_mut().filter(|run| run.head.is_some());
            let first = heads.min_by(|a, b| a.path().cmp(&b.path()));
            let Some(file) = first.map(Run::take).transpose()?.flatten() else { return out.end() };
            if file.entry.path == last {
                return Err(Error::new(Kind::Integrity, format!("{last} is listed twice")));
            }
            out.write(&file)?;
            last = file.entry.path;
        }
    }
}

/// A sorted run that is read again.
struct Run {
    input: BufReader<File>,
    head: Option<KnownFile>,
}

impl Run {
    fn new(file: File) -> Result<Run> {
        let mut run = Run { input: BufReader::with_capacity(64 << 10, file), head: None };
        run.take()?;
        Ok(run)
    }

    fn path(&self) -> Option<&str> {
        self.head.as_ref().map(|file| file.entry.path.as_str())
    }

    /// Returns the head and reads the next entry.
    fn take(&mut self) -> Result<Option<KnownFile>> {
        let mut length = Vec::new();
        Read::by_ref(&mut self.input).take(4).read_to_end(&mut length).map_err(failed)?;
        let next = match <[u8; 4]>::try_from(length.as_slice()) {
            Ok(length) => {
                let mut json = vec![0; u32::from_le_bytes(length).min(ENTRY_BYTES_MAX) as usize];
                self.input.read_exact(&mut json).map_err(failed)?;
                Some(parse(&json)?)
            }
            Err(_) => None,
        };
        Ok(std::mem::replace(&mut self.head, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::blake3::Blake3;
    use crate::archive::digest::FileDigest;
    use crate::archive::index::{Entry, Part};
    use crate::catalog::known_base;

    fn file(n: u32) -> KnownFile {
        let part = Part { snapshot: 0, pack: n, frame: 0, at: 0, offset: 0, bytes: 1 };
        let entry = Entry {
            path: format!("base/5/{n}"),
            bytes: 1,
            mode: 0o600,
            mtime_ns: 0,
            digest: FileDigest::Blake3(Blake3::of(b"")),
            flaw: None,
            tenants: Vec::new(),
            parts: vec![part; 20_000],
        };
        KnownFile { entry, block_bytes: 8192, blocks: Default::default(), seen: None }
    }

    #[test]
    fn what_comes_in_any_order_goes_out_sorted_and_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), &"prod".parse().unwrap()).unwrap();
        let known = KnownBase {
            known_base: known_base::VERSION,
            repository: "r".to_owned(),
            system_identifier: "7".to_owned(),
            chain: vec!["20261120T015812Z-base-4f3a9c1e".parse().unwrap()],
            begin: None,
            clocks: None,
        };
        let mut sorter = KnownSorter::new(&state);
        let order: Vec<u32> = (0..60).map(|n| n * 37 % 60).collect();
        order.iter().for_each(|n| sorter.push(file(*n)).unwrap());
        assert!(sorter.runs.len() >= 3, "{} runs", sorter.runs.len());
        let path = state.known_base_file();
        sorter.finish(&path, &known).unwrap().publish().unwrap();
        let paths: Vec<String> =
            known_base::open(&path).unwrap().unwrap().map(|file| file.unwrap().entry.path).collect();
        let mut sorted: Vec<String> = order.iter().map(|n| format!("base/5/{n}")).collect();
        sorted.sort();
        assert_eq!(paths, sorted);
        let lookup = KnownLookup::new(&state, known_base::open(&path).unwrap().unwrap()).unwrap();
        for n in order {
            assert_eq!(lookup.get(&format!("base/5/{n}")).unwrap(), Some(file(n)));
        }
        assert_eq!(lookup.get("base/5/60").unwrap(), None);
        let mut twice = KnownSorter::new(&state);
        [1, 2, 1].iter().for_each(|n| twice.push(file(*n)).unwrap());
        assert!(twice.finish(&path, &known).is_err());
        assert!(!dir.path().join("prod/unnamed.tmp").exists());
    }
}
