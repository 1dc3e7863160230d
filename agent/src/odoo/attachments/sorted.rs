//! Sorts the names of attachments and drops duplicates: in memory up to a bound, beyond it in files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

use super::AttachmentFile;
use crate::error::{Error, Kind, Result};

/// About how much memory the names that are sorted at once may take.
const SORT_BYTES_MAX: usize = 16 << 20;
/// The memory of one entry besides its name.
const ENTRY_BYTES: usize = 80;
/// Written for an entry without a size.
const NO_SIZE: u64 = u64::MAX;

/// Takes files in any order. Memory: 16 MiB, plus a buffer for each 16 MiB of input.
pub(super) struct Sorted<S> {
    scratch: S,
    files: Vec<AttachmentFile>,
    bytes: usize,
    /// Sorted runs.
    runs: Vec<File>,
}

impl<S: FnMut() -> Result<File>> Sorted<S> {
    pub fn new(scratch: S) -> Sorted<S> {
        Sorted { scratch, files: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    pub fn push(&mut self, file: AttachmentFile) -> Result<()> {
        self.bytes += ENTRY_BYTES + file.store_fname.len();
        self.files.push(file);
        if self.bytes >= SORT_BYTES_MAX { self.end_run() } else { Ok(()) }
    }

    fn end_run(&mut self) -> Result<()> {
        let mut out = BufWriter::with_capacity(256 << 10, (self.scratch)()?);
        for file in in_order(&mut self.files) {
            put(&mut out, &file).map_err(failed)?;
        }
        let mut run = out.into_inner().map_err(|e| failed(e.into_error()))?;
        run.rewind().map_err(failed)?;
        self.runs.push(run);
        self.bytes = 0;
        Ok(())
    }

    /// Passes on each name once, in byte order; returns their number.
    pub fn finish(mut self, mut each: impl FnMut(AttachmentFile) -> Result<()>) -> Result<u64> {
        let mut count = 0;
        let mut give = |file| {
            count += 1;
            each(file)
        };
        if self.runs.is_empty() {
            in_order(&mut self.files).into_iter().try_for_each(&mut give)?;
            return Ok(count);
        }
        self.end_run()?;
        let mut runs = self.runs.into_iter().map(Run::new).collect::<Result<Vec<_>>>()?;
        let mut last: Option<AttachmentFile> = None;
        loop {
            let heads = runs.iter_mut().filter(|run| run.head.is_some());
            let first = heads.min_by(|a, b| a.name().cmp(&b.name()));
            let next = first.map(Run::take).transpose()?.flatten();
            match (&mut last, next) {
                (Some(last), Some(next)) if last.store_fname == next.store_fname => merge(last, &next),
                (last, next) => {
                    let done = next.is_none();
                    if let Some(file) = std::mem::replace(last, next) {
                        give(file)?;
                    }
                    if done {
                        return Ok(count);
                    }
                }
            }
        }
    }
}

fn in_order(files: &mut Vec<AttachmentFile>) -> Vec<AttachmentFile> {
    let mut files = std::mem::take(files);
    files.sort_unstable_by(|a, b| a.store_fname.cmp(&b.store_fname));
    files.dedup_by(|next, kept| {
        let same = next.store_fname == kept.store_fname;
        if same {
            merge(kept, next);
        }
        same
    });
    files
}

fn merge(kept: &mut AttachmentFile, other: &AttachmentFile) {
    kept.sizes_agree &= other.sizes_agree && kept.file_size == other.file_size;
    kept.file_size = kept.file_size.max(other.file_size);
    kept.rows += other.rows;
}

fn failed(e: std::io::Error) -> Error {
    Error::new(Kind::Io, "cannot use a temporary file for the names of attachments").because(e)
}

fn put(out: &mut impl Write, file: &AttachmentFile) -> std::io::Result<()> {
    let name = file.store_fname.as_bytes();
    out.write_all(&(name.len() as u64).to_le_bytes())?;
    out.write_all(&file.file_size.unwrap_or(NO_SIZE).to_le_bytes())?;
    out.write_all(&file.rows.to_le_bytes())?;
    out.write_all(&[u8::from(file.sizes_agree)])?;
    out.write_all(name)
}

/// Reads a sorted run.
struct Run {
    input: BufReader<File>,
    head: Option<AttachmentFile>,
}

impl Run {
    fn new(file: File) -> Result<Run> {
        let mut run = Run { input: BufReader::with_capacity(64 << 10, file), head: None };
        run.take()?;
        Ok(run)
    }

    fn name(&self) -> Option<&str> {
        self.head.as_ref().map(|file| file.store_fname.as_str())
    }

    /// Returns the head and reads the next entry.
    fn take(&mut self) -> Result<Option<AttachmentFile>> {
        let next = self.read().map_err(failed)?;
        Ok(std::mem::replace(&mut self.head, next))
    }

    fn read(&mut self) -> std::io::Result<Option<AttachmentFile>> {
        let mut facts = Vec::with_capacity(25);
        Read::by_ref(&mut self.input).take(25).read_to_end(&mut facts)?;
        if facts.len() < 25 {
            return Ok(None);
        }
        let number = |at: usize| facts[at..at + 8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let mut name = Vec::new();
        Read::by_ref(&mut self.input).take(number(0)).read_to_end(&mut name)?;
        Ok(Some(AttachmentFile {
            store_fname: String::from_utf8_lossy(&name).into_owned(),
            file_size: Some(number(8)).filter(|size| *size != NO_SIZE),
            rows: number(16),
            sizes_agree: facts[24] == 1,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` rows of `count / 2` names, each twice with another size for every fifth name.
    fn sorted(count: u64) -> (Vec<AttachmentFile>, usize) {
        let mut files = 0;
        let mut sorted = Sorted::new(|| {
            files += 1;
            tempfile::tempfile().map_err(failed)
        });
        for n in 0..count {
            let name = n * 7919 % (count / 2);
            let size = if name.is_multiple_of(5) { n } else { name };
            let file_size = (!name.is_multiple_of(3)).then_some(size);
            let store_fname = format!("{:02x}/{name:0300}", name % 256);
            sorted.push(AttachmentFile { store_fname, file_size, sizes_agree: true, rows: 1 }).unwrap();
        }
        let mut out = Vec::new();
        let said = sorted.finish(|file| {
            out.push(file);
            Ok(())
        });
        assert_eq!(said.unwrap(), out.len() as u64);
        (out, files)
    }

    #[test]
    fn names_come_once_and_in_order_from_memory_and_from_files() {
        for (count, more) in [(0, false), (2, false), (2_000, false), (100_000, true)] {
            let (out, files) = match count {
                0 => (Vec::new(), 0),
                count => sorted(count),
            };
            assert_eq!(files > 2, more, "{files} files");
            assert_eq!(out.len() as u64, count / 2);
            assert!(out.windows(2).all(|w| w[0].store_fname.as_bytes() < w[1].store_fname.as_bytes()));
            assert!(out.iter().all(|file| file.rows == 2));
            for file in &out {
                let name: u64 = file.store_fname[3..].parse().unwrap();
                assert_eq!(file.file_size.is_none(), name.is_multiple_of(3), "{name}");
                assert_eq!(file.sizes_agree, !name.is_multiple_of(5) || name.is_multiple_of(3), "{name}");
            }
        }
    }
}
