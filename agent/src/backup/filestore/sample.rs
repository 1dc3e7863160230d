//! Reads a few of the files that are known, at random. Their names say what they must contain; a backup skips
//! them by name, so nothing else would notice that all of them were overwritten in place.
//!
//! With 1 file in 20 overwritten, a sample of 128 shows it in 99 of 100 backups.

use std::path::{Path, PathBuf};

use crate::archive::pack::EXTENT_BYTES;
use crate::backup::file_reader::has_sha1;
use crate::backup::pace::Pace;
use crate::disk::beneath::Dir;
use crate::error::Result;
use crate::names::random_hex;

/// Files that are read.
const FILES: u64 = 128;
/// The largest file that is read, and how much of all of them together.
const FILE_BYTES_MAX: u64 = 4 << 20;
const BYTES_MAX: u64 = 64 << 20;

/// Files chosen so far; each file that was offered has the same chance.
pub(super) struct Sample {
    offered: u64,
    random: u64,
    chosen: Vec<Chosen>,
}

struct Chosen {
    relative: PathBuf,
    sha1: String,
    bytes: u64,
}

/// What the files contained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Files that were read.
    pub read: u64,
    /// Of these, how many do not have the content that their names say.
    pub altered: u64,
}

impl Sample {
    pub(super) fn begin() -> Sample {
        let random = u64::from_str_radix(&random_hex(8), 16).unwrap_or_default();
        Sample { offered: 0, random, chosen: Vec::new() }
    }

    /// Offers a known file.
    pub(super) fn offer(&mut self, relative: &Path, sha1: impl FnOnce() -> String, bytes: u64) {
        if bytes > FILE_BYTES_MAX {
            return;
        }
        let place = self.below(self.offered + 1) as usize;
        self.offered += 1;
        let new = || Chosen { relative: relative.to_owned(), sha1: sha1(), bytes };
        if (self.chosen.len() as u64) < FILES {
            self.chosen.push(new());
        } else if let Some(chosen) = self.chosen.get_mut(place) {
            *chosen = new();
        }
    }

    /// A number below `end`: the next of a sequence (SplitMix64).
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    /// Reads the chosen ones. A file that cannot be read does not count.
    ///
    /// # Errors
    /// `Interrupted` only.
    pub(super) fn read(self, dir: &Dir, pace: &Pace) -> Result<Sampled> {
        let (mut sampled, mut left) = (Sampled::default(), BYTES_MAX);
        let mut buffer = vec![0; EXTENT_BYTES];
        for chosen in self.chosen {
            pace.stop_if_cancelled()?;
            let Some(rest) = left.checked_sub(chosen.bytes) else { continue };
            left = rest;
            let Ok((mut file, meta)) = dir.open_file(&chosen.relative) else { continue };
            if meta.len() > FILE_BYTES_MAX {
                sampled.read += 1; // it had another size when it was stored
                sampled.altered += 1;
                continue;
            }
            if let Ok(fits) = has_sha1(&mut file, &meta, &chosen.sha1, pace, &mut buffer)? {
                sampled.read += 1;
                sampled.altered += u64::from(!fits);
            }
        }
        Ok(sampled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_the_same_chance() {
        let mut counts = [0_u32; 4];
        for _ in 0..20 {
            let mut sample = Sample::begin();
            for number in 0..10_000_u64 {
                sample.offer(Path::new(&number.to_string()), String::new, 1);
            }
            assert_eq!(sample.chosen.len() as u64, FILES);
            for chosen in &sample.chosen {
                let number: usize = chosen.relative.to_str().unwrap().parse().unwrap();
                counts[number / 2_500] += 1;
            }
        }
        // 2,560 files, a quarter of them each; 6 standard deviations are 132.
        assert!(counts.iter().all(|count| (500..=780).contains(count)), "{counts:?}");
        let mut sample = Sample::begin();
        sample.offer(Path::new("large"), String::new, FILE_BYTES_MAX + 1);
        assert!(sample.chosen.is_empty());
    }
}
