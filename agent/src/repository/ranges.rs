//! Reads parts of a stored object on a blocking thread: `Read` and `Seek`, fetching little more than was
//! announced.

use std::cell::Cell;
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;

use crate::error::{Error, Kind};
use crate::store::Store;

/// The most that one request fetches.
const REQUEST_BYTES_MAX: u64 = 4 << 20;
/// The least: the header of an encrypted object is shorter.
const REQUEST_BYTES_MIN: u64 = 16 << 10;

/// How many bytes will be read after a seek, and how many were fetched; shared with the reader, which may
/// have another owner.
#[derive(Clone, Default)]
pub struct Announced {
    ahead: Rc<Cell<u64>>,
    fetched: Rc<Cell<u64>>,
}

impl Announced {
    /// Announces that so many bytes will be read next.
    pub fn will_read(&self, bytes: u64) {
        self.ahead.set(bytes);
    }

    /// Bytes that were fetched so far.
    pub fn fetched(&self) -> u64 {
        self.fetched.get()
    }
}

/// An object of known length, of which only the parts that are read are fetched.
pub struct RangeReader {
    store: Store,
    runtime: Handle,
    key: String,
    length: u64,
    at: u64,
    /// What was fetched last, and where it begins.
    held: (u64, Bytes),
    announced: Announced,
}

impl RangeReader {
    /// A reader at the first byte; nothing is fetched yet.
    pub fn new(store: &Store, runtime: &Handle, key: String, length: u64, announced: Announced) -> Self {
        let (store, runtime) = (store.clone(), runtime.clone());
        RangeReader { store, runtime, key, length, at: 0, held: (0, Bytes::new()), announced }
    }

    fn fetch(&mut self) -> Result<(), Error> {
        let ahead = self.announced.ahead.get();
        let bytes = ahead.clamp(REQUEST_BYTES_MIN, REQUEST_BYTES_MAX).min(self.length - self.at);
        let piece = self.runtime.block_on(self.store.get_range(&self.key, self.at..self.at + bytes))?;
        self.announced.ahead.set(ahead.saturating_sub(bytes));
        self.announced.fetched.set(self.announced.fetched.get() + bytes);
        self.held = (self.at, piece);
        Ok(())
    }
}

impl Read for RangeReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let is_held = |held: &(u64, Bytes), at: u64| (held.0..held.0 + held.1.len() as u64).contains(&at);
        if !is_held(&self.held, self.at) {
            self.fetch().map_err(std::io::Error::other)?;
        }
        let mut piece = self.held.1.slice((self.at - self.held.0) as usize..);
        if piece.is_empty() {
            let what = format!("{} ended too early", self.key);
            return Err(std::io::Error::other(Error::new(Kind::Integrity, what)));
        }
        let n = buffer.len().min(piece.len());
        piece.copy_to_slice(&mut buffer[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for RangeReader {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    #[test]
    fn it_reads_what_lies_there_and_fetches_little_more() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), &StoreOptions::default()).unwrap();
        let content: Vec<u8> = (0..900_000u32).map(|n| (n % 251) as u8).collect();
        runtime.block_on(store.put_new("some/object", content.clone())).unwrap();
        let announced = Announced::default();
        let (key, length) = ("some/object".to_owned(), content.len() as u64);
        let mut reader = RangeReader::new(&store, runtime.handle(), key, length, announced.clone());
        let mut part = vec![0; 100_000];
        announced.will_read(100_000);
        reader.seek(SeekFrom::Start(500_000)).unwrap();
        reader.read_exact(&mut part).unwrap();
        assert_eq!(part, content[500_000..600_000]);
        assert_eq!(announced.fetched(), 100_000);
        reader.seek(SeekFrom::End(-3)).unwrap();
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert_eq!(end, content[899_997..]);
        assert_eq!(announced.fetched(), 100_003);
    }
}
