//! The names that Odoo gives to files of the filestore: the SHA-1 of their content.

use std::fmt;

use crate::archive::hex::hex;
use crate::error::{Error, Kind, Result};

/// `ab/abcdef...` (40 hex digits of SHA-1 below a folder of the first two), or with the folder of
/// three digits that some builds used. 21 bytes in memory; sorts like its text within one kind
/// of folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName {
    sha1: [u8; 20],
    shard_digits: u8,
}

impl BlobName {
    /// Parses a path relative to the filestore; `None` if it does not name a blob. The folder must be
    /// the first digits of the name, and hex digits lower case, as Odoo writes them.
    pub fn parse(path: &[u8]) -> Option<BlobName> {
        let shard_digits = match path.len() {
            43 => 2,
            44 => 3,
            _ => return None,
        };
        let (shard, name) = (&path[..shard_digits], &path[shard_digits + 1..]);
        if path[shard_digits] != b'/' || !name.starts_with(shard) {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut sha1 = [0; 20];
        for (byte, pair) in sha1.iter_mut().zip(name.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(BlobName { sha1, shard_digits: shard_digits as u8 })
    }

    /// The SHA-1 that the content must have.
    pub fn sha1(&self) -> [u8; 20] {
        self.sha1
    }

    /// The file's own name: 40 hex digits.
    pub fn sha1_hex(&self) -> String {
        hex(&self.sha1)
    }

    /// Checks the SHA-1 of the content against the name.
    ///
    /// # Errors
    /// `Integrity`, naming the file and both digests.
    pub fn check(&self, content_sha1: [u8; 20]) -> Result<()> {
        if self.sha1 == content_sha1 {
            return Ok(());
        }
        let found = hex(&content_sha1);
        Err(Error::new(Kind::Integrity, format!("the content of {self} has SHA-1 {found}"))
            .effect("the file is not what Odoo wrote"))
    }
}

/// Describes a file of the filestore whose content does not match its name. `flawed` files did not match
/// when they were backed up either, and the backup says so.
pub fn misnamed(path: &str, flawed: bool, content_sha1: [u8; 20]) -> Option<String> {
    let blob = BlobName::parse(path.as_bytes())?;
    let found = hex(&content_sha1);
    (!flawed && blob.sha1() != content_sha1).then(|| {
        format!(
            "{path} has SHA-1 {found}, which does not match its name, although it did when it was backed up"
        )
    })
}

/// Whether a path relative to the filestore names a blob.
pub fn is_blob_path(path: &[u8]) -> bool {
    BlobName::parse(path).is_some()
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.sha1_hex();
        write!(f, "{}/{hex}", &hex[..usize::from(self.shard_digits)])
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

    #[test]
    fn only_names_that_begin_with_their_folder_are_blobs() {
        for good in [format!("da/{HEX}"), format!("da3/{HEX}")] {
            let blob = BlobName::parse(good.as_bytes()).unwrap();
            assert_eq!(blob.to_string(), good);
            assert_eq!(blob.sha1_hex(), HEX);
        }
        let bad = [
            format!("db/{HEX}"),
            format!("da/{}", &HEX[1..]),
            format!("da/{}", HEX.to_uppercase()),
            format!("checklist/da/{HEX}"),
            format!("d/{HEX}a"),
            format!("daa{HEX}"),
            "da/".into(),
            String::new(),
        ];
        for bad in bad {
            assert!(!is_blob_path(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn content_is_checked_against_the_name() {
        use sha1::Digest;
        let blob = BlobName::parse(format!("da/{HEX}").as_bytes()).unwrap();
        blob.check(sha1::Sha1::digest(b"").into()).unwrap();
        let error = blob.check(sha1::Sha1::digest(b"x").into()).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
    }
}
