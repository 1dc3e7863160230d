//! Computes the BLAKE3 of a file from digests of its parts. These can be computed in any order and by several
//! threads, and the same digests show which blocks changed. The result is the BLAKE3 of the whole content, as
//! `b3sum` computes it.
//!
//! BLAKE3 is a tree over chunks of 1 KiB. A part that begins at a multiple of its length, a power of two, is
//! a subtree of it; its *link* is what the tree above it needs.

use std::fmt;
use std::fs::File;
use std::io::Seek;
use std::path::Path;
use std::str::FromStr;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};

use crate::archive::hex::{hex, unhex};
use crate::error::{Error, Kind, Result};

/// What the tree needs of a part.
pub type Link = blake3::hazmat::ChainingValue;

/// A BLAKE3, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Blake3(pub [u8; 32]);

impl Blake3 {
    /// The digest of `data`.
    pub fn of(data: &[u8]) -> Blake3 {
        Blake3(blake3::hash(data).into())
    }

    /// The digest of an open file's content; `path` is for messages.
    pub fn of_file(mut file: &File, path: &Path) -> Result<Blake3> {
        let mut hasher = blake3::Hasher::new();
        let read = file.rewind().and_then(|()| hasher.update_reader(file).map(drop));
        read.map_err(|e| Error::file("read", path, e))?;
        Ok(Blake3(hasher.finalize().into()))
    }
}

impl fmt::Display for Blake3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Blake3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Blake3 {
    type Err = Error;
    fn from_str(text: &str) -> Result<Blake3> {
        unhex(text)
            .map(Blake3)
            .ok_or_else(|| Error::new(Kind::Integrity, format!("{:.80?} is not a BLAKE3 digest", text)))
    }
}

impl TryFrom<String> for Blake3 {
    type Error = Error;
    fn try_from(text: String) -> Result<Blake3> {
        text.parse()
    }
}

impl From<Blake3> for String {
    fn from(digest: Blake3) -> String {
        digest.to_string()
    }
}

/// The link of a part of a file that has other parts, too: `data` is at `offset`, and is no longer than the
/// power of two of which `offset` is a multiple.
pub fn link(data: &[u8], offset: u64) -> Link {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset).update(data);
    hasher.finalize_non_root()
}

/// The links of the blocks of `data`, which is at `offset` and is longer than a block unless the file ends
/// with it. A file that is not longer than a block has its digest instead of a link.
pub fn block_links(data: &[u8], offset: u64, block_bytes: u32) -> Vec<Link> {
    if offset == 0 && !data.is_empty() && data.len() <= block_bytes as usize {
        return vec![Blake3::of(data).0];
    }
    let offsets = (offset..).step_by(block_bytes as usize);
    data.chunks(block_bytes as usize).zip(offsets).map(|(block, offset)| link(block, offset)).collect()
}

/// The digest of a file from the links of its parts: at least two, all but the last of one length.
pub fn whole(links: &[Link]) -> Blake3 {
    let (left, right) = halves(links);
    Blake3(merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).into())
}

/// One link from those of adjacent parts: at least one, all but the last of one length.
fn subtree(links: &[Link]) -> Link {
    match links {
        [one] => *one,
        _ => {
            let (left, right) = halves(links);
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The left side has the largest power of two that leaves something for the right one.
fn halves(links: &[Link]) -> (&[Link], &[Link]) {
    assert!(links.len() > 1, "a tree has two sides");
    links.split_at(links.len().next_power_of_two() / 2)
}

/// The digest of a file whose extents come in order, each as the links of its blocks.
#[derive(Default)]
pub struct InOrder {
    /// A link for each extent but the last.
    extents: Vec<Link>,
    /// Blocks of the last one.
    last: Vec<Link>,
}

impl InOrder {
    /// A file, or a part of one, that is one extent.
    pub fn of(blocks: Vec<Link>) -> InOrder {
        InOrder { extents: Vec::new(), last: blocks }
    }

    /// Adds the part that follows it.
    pub fn append(&mut self, next: InOrder) {
        if next.last.is_empty() {
            return; // an empty file
        }
        if !self.last.is_empty() {
            self.extents.push(subtree(&self.last));
        }
        self.extents.extend(next.extents);
        self.last = next.last;
    }

    /// The digest of all of it.
    pub fn finish(mut self) -> Blake3 {
        match (self.extents.is_empty(), self.last.as_slice()) {
            (true, []) => Blake3::of(b""),
            (true, [whole]) => Blake3(*whole),
            (true, blocks) => whole(blocks),
            (false, blocks) => {
                self.extents.push(subtree(blocks));
                whole(&self.extents)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: usize = 64 << 10;

    #[test]
    fn put_together_from_parts_it_is_the_digest_of_the_whole() {
        let content: Vec<u8> = (0..5 * EXTENT + 4321).map(|n| (n % 251) as u8).collect();
        let k = 1 << 10;
        let sizes = [0, 1, k, 8 * k - 1, 8 * k, 8 * k + 1, 24 * k, EXTENT - 1, EXTENT, EXTENT + 1];
        for bytes in sizes.into_iter().chain([2 * EXTENT, 3 * EXTENT + 9 * k, 5 * EXTENT, content.len()]) {
            let content = &content[..bytes];
            let expected = Blake3(blake3::hash(content).into());
            for block in [8, 16] {
                let mut digest = InOrder::default();
                for (extent, offset) in content.chunks(EXTENT).zip((0..).step_by(EXTENT)) {
                    // as a reader does: slice by slice
                    let slices = extent.chunks(EXTENT / 2).zip((offset..).step_by(EXTENT / 2));
                    let blocks = slices.flat_map(|(data, offset)| block_links(data, offset, block << 10));
                    digest.append(InOrder::of(blocks.collect()));
                }
                assert_eq!(digest.finish(), expected, "{bytes} bytes in blocks of {block} KiB");
            }
            if bytes > EXTENT {
                let parts = content.chunks(EXTENT).zip((0..).step_by(EXTENT));
                let links: Vec<Link> = parts.map(|(data, offset)| link(data, offset)).collect();
                assert_eq!(whole(&links), expected, "{bytes} bytes in extents");
            }
        }
    }

    #[test]
    fn a_block_elsewhere_has_another_link() {
        assert_ne!(link(&[7; 8192], 8192), link(&[7; 8192], 16384));
    }
}
