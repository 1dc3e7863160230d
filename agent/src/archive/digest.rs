//! SHA-256 digests, and writers and readers that compute them on the way; the digest of a file, which is a
//! SHA-256 or a BLAKE3.

use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::archive::blake3::Blake3;
use crate::archive::hex::{hex, unhex};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// A SHA-256, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `data`.
    pub fn of(data: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(data).into())
    }

    /// The digest of a file's content.
    pub fn of_file(path: &Path) -> Result<Sha256> {
        let mut hashing = Hashing::new(disk::open(path)?);
        std::io::copy(&mut hashing, &mut std::io::sink()).map_err(|e| Error::file("read", path, e))?;
        let (_, digest, _) = hashing.finish();
        Ok(digest)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Error;
    fn from_str(text: &str) -> Result<Sha256> {
        unhex(text)
            .map(Sha256)
            .ok_or_else(|| Error::new(Kind::Integrity, format!("{:.80?} is not a SHA-256 digest", text)))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = Error;
    fn try_from(text: String) -> Result<Sha256> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> String {
        digest.to_string()
    }
}

/// The digest of a file's content: BLAKE3 for files of a cluster, SHA-256 for everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileDigest {
    /// For what people know by its SHA-256: blobs, dumps.
    Sha256(Sha256),
    /// For what is large and changes block by block.
    Blake3(Blake3),
}

impl FileDigest {
    /// Whether it is the digest of `data`.
    pub fn is_of(&self, data: &[u8]) -> bool {
        match self {
            FileDigest::Sha256(digest) => *digest == Sha256::of(data),
            FileDigest::Blake3(digest) => *digest == Blake3::of(data),
        }
    }

    /// A hasher of the same kind.
    pub fn hasher(&self) -> FileHasher {
        match self {
            FileDigest::Sha256(_) => FileHasher::Sha256(sha2::Sha256::new()),
            FileDigest::Blake3(_) => FileHasher::Blake3(Box::default()),
        }
    }

    /// The digest of a file that is not part of a cluster.
    ///
    /// # Errors
    /// `Integrity` where it is a BLAKE3.
    pub fn sha256(&self) -> Result<Sha256> {
        match self {
            FileDigest::Sha256(digest) => Ok(*digest),
            FileDigest::Blake3(_) => Err(Error::new(Kind::Integrity, "the index has no SHA-256 for a file")),
        }
    }

    /// The digest of a file of a cluster.
    ///
    /// # Errors
    /// `Integrity` where it is a SHA-256.
    pub fn blake3(&self) -> Result<Blake3> {
        match self {
            FileDigest::Blake3(digest) => Ok(*digest),
            FileDigest::Sha256(_) => Err(Error::new(Kind::Integrity, "the index has no BLAKE3 for a file")),
        }
    }
}

/// Computes a [`FileDigest`].
pub enum FileHasher {
    /// A SHA-256.
    Sha256(sha2::Sha256),
    /// A BLAKE3.
    Blake3(Box<blake3::Hasher>),
}

impl FileHasher {
    /// Adds data.
    pub fn update(&mut self, data: &[u8]) {
        match self {
            FileHasher::Sha256(hasher) => hasher.update(data),
            FileHasher::Blake3(hasher) => drop(hasher.update(data)),
        }
    }

    /// The digest of everything added.
    pub fn finish(self) -> FileDigest {
        match self {
            FileHasher::Sha256(hasher) => FileDigest::Sha256(Sha256(hasher.finalize().into())),
            FileHasher::Blake3(hasher) => FileDigest::Blake3(Blake3(hasher.finalize().into())),
        }
    }
}

/// Passes bytes through and computes their SHA-256 and count.
pub struct Hashing<T> {
    inner: T,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    /// Starts at zero bytes.
    pub fn new(inner: T) -> Hashing<T> {
        Hashing { inner, hasher: sha2::Sha256::new(), bytes: 0 }
    }

    /// How many bytes passed so far.
    pub fn passed(&self) -> u64 {
        self.bytes
    }

    /// The inner reader or writer, the digest and the count of all that passed.
    pub fn finish(self) -> (T, Sha256, u64) {
        (self.inner, Sha256(self.hasher.finalize().into()), self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(data)?;
        self.hasher.update(&data[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_what_is_not_lower_case_hex() {
        let digest = Sha256::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Sha256>().unwrap(), digest);
        assert!(digest.to_string().to_uppercase().parse::<Sha256>().is_err());
        assert!("".parse::<Sha256>().is_err());
    }
}
