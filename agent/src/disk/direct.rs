//! Files written past the page cache: data that a restore writes is not read again soon, and in the cache it
//! would displace data that other programs need. The bytes go to the disk at once, without a copy.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::beneath::Dir;
use crate::error::{Error, Result};

/// Addresses, offsets and lengths of direct writes are multiples of this: no disk has longer blocks.
const ALIGNMENT: usize = 4096;

/// A file whose aligned writes bypass the page cache, where its file system supports that.
pub struct DirectFile {
    path: PathBuf,
    cached: File,
    direct: Option<File>,
}

impl DirectFile {
    /// Opens a file below `dir` for reading and writing; creates it with mode 0600 where it does not exist.
    pub fn open_or_create(dir: &Dir, relative: &Path) -> Result<DirectFile> {
        let path = dir.path().join(relative);
        let cached = dir.open_or_create(relative).map_err(|e| Error::file("open", &path, e))?;
        let direct = dir.open_at(relative, OFlags::WRONLY | OFlags::DIRECT | OFlags::NONBLOCK, Mode::empty());
        let direct = direct.ok().map(File::from).filter(|direct| is_same(direct, &cached));
        Ok(DirectFile { path, cached, direct })
    }

    /// The file, for everything but writing.
    pub fn file(&self) -> &File {
        &self.cached
    }

    /// Writes all of `data` at `offset`; like every write, it is durable only after a sync.
    pub fn write_all_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let fail = |e| Error::file("write", &self.path, e);
        let aligned =
            [data.as_ptr() as usize, data.len(), offset as usize].iter().all(|n| n % ALIGNMENT == 0);
        if let Some(direct) = self.direct.as_ref().filter(|_| aligned) {
            match direct.write_all_at(data, offset) {
                // A file system that needs another alignment.
                Err(e) if e.kind() == ErrorKind::InvalidInput => {}
                written => return written.map_err(fail),
            }
        }
        self.cached.write_all_at(data, offset).map_err(fail)
    }
}

/// Whether the name was the same file both times that it was opened.
fn is_same(one: &File, other: &File) -> bool {
    let number = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    number(one).is_some_and(|one| number(other) == Some(one))
}

/// Memory that [`DirectFile`] can write from without a copy.
pub struct AlignedBuffer {
    memory: Vec<u8>,
    begin: usize,
    bytes: usize,
}

impl AlignedBuffer {
    /// A buffer for `capacity` bytes.
    pub fn new(capacity: usize) -> AlignedBuffer {
        let memory = vec![0; capacity + ALIGNMENT];
        let begin = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        AlignedBuffer { memory, begin, bytes: 0 }
    }

    /// Reads exactly `bytes`, at most its capacity, and replaces its content.
    pub fn fill(&mut self, input: &mut dyn Read, bytes: usize) -> std::io::Result<()> {
        self.bytes = 0;
        let place = self.memory.get_mut(self.begin..self.begin + bytes).ok_or(ErrorKind::OutOfMemory)?;
        input.read_exact(place)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Its content.
    pub fn data(&self) -> &[u8] {
        &self.memory[self.begin..self.begin + self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_odd_writes_make_one_file() {
        let content: Vec<u8> = (0..3 * ALIGNMENT + 700).map(|n| (n % 251) as u8).collect();
        // beside the sources: a file system as a restore may find it, which /tmp may not be
        for dir in [tempfile::tempdir().unwrap(), tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()] {
            let path = dir.path().join("file");
            let opened = Dir::open(dir.path()).unwrap();
            let file = DirectFile::open_or_create(&opened, Path::new("file")).unwrap();
            let mut buffer = AlignedBuffer::new(content.len());
            buffer.fill(&mut content.as_slice(), content.len()).unwrap();
            let data = buffer.data();
            file.write_all_at(&data[ALIGNMENT..2 * ALIGNMENT], ALIGNMENT as u64).unwrap();
            file.write_all_at(&data[2 * ALIGNMENT..], 2 * ALIGNMENT as u64).unwrap();
            file.write_all_at(&data[..ALIGNMENT], 0).unwrap();
            file.write_all_at(&data[1..10], 1).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        let mut small = AlignedBuffer::new(10);
        assert!(small.fill(&mut content.as_slice(), ALIGNMENT + 20).is_err());
        assert!(small.fill(&mut &content[..5], 6).is_err(), "it ended early");
    }
}
