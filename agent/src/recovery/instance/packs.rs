//! Decides which parts of which packs are read: a whole pack if most of it is wanted, else single frames.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use crate::archive::manifest::{Manifest, Object};
use crate::archive::pack;
use crate::archive::unpack::sealed_bytes;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::recovery::instance::wanted::{File, Wanted};

/// Frames are read in one request if fewer bytes than this are between them: a request takes as long as this
/// many bytes.
const GAP_BYTES_MAX: u64 = 256 << 10;
/// If more than this share of a pack is wanted, the whole pack is read.
const WHOLE_PERCENT: u64 = 80;

/// What is read of one pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRead {
    /// Index of the snapshot in the chain.
    pub snapshot: u32,
    /// Pack of that snapshot.
    pub pack: u32,
    /// Runs of frames; empty if the whole pack is read.
    pub frames: Vec<Range<u32>>,
    /// Stored bytes that are fetched, without the pack's header.
    pub bytes: u64,
}

/// What is read for these files, in the order of the chain.
///
/// # Errors
/// `Integrity` if the index names a pack that no manifest has.
pub fn pack_reads<'a>(
    wanted: &Wanted,
    files: impl Iterator<Item = &'a File>,
    manifests: &HashMap<SnapshotId, Manifest>,
) -> Result<Vec<PackRead>> {
    let mut packs: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    for piece in files.flat_map(|file| wanted.pieces(file)) {
        packs.entry((piece.snapshot, piece.pack)).or_default().insert(piece.frame);
    }
    let reads = packs.into_iter().map(|((snapshot, pack), frames)| {
        let (_, object) = wanted.pack_object(snapshot, pack, manifests)?;
        Ok(read_of(object, snapshot, pack, &frames))
    });
    reads.collect()
}

fn read_of(object: &Object, snapshot: u32, pack: u32, wanted: &BTreeSet<u32>) -> PackRead {
    let begin = |frame: u32| object.frames.get(frame as usize).copied().unwrap_or(object.bytes);
    let mut runs: Vec<Range<u32>> = Vec::new();
    for frame in wanted {
        match runs.last_mut() {
            Some(run) if begin(*frame).saturating_sub(begin(run.end)) <= GAP_BYTES_MAX => run.end = frame + 1,
            _ => runs.push(*frame..frame + 1),
        }
    }
    let bytes = |run: &Range<u32>| {
        let first = begin(run.start);
        sealed_bytes(first, begin(run.end).saturating_sub(first))
    };
    let part: u64 = runs.iter().map(bytes).sum();
    match object.frames.is_empty() || part.saturating_mul(100) >= object.bytes.saturating_mul(WHOLE_PERCENT) {
        true => PackRead { snapshot, pack, frames: Vec::new(), bytes: object.bytes },
        false => PackRead { snapshot, pack, frames: runs, bytes: part },
    }
}

impl Wanted {
    /// The snapshot and the object of a pack that pieces name.
    pub fn pack_object<'m>(
        &self,
        snapshot: u32,
        pack: u32,
        manifests: &'m HashMap<SnapshotId, Manifest>,
    ) -> Result<(&'m SnapshotId, &'m Object)> {
        let id = self.snapshots.get(snapshot as usize);
        let manifest = id.and_then(|id| manifests.get(id)).ok_or_else(|| {
            Error::new(Kind::Integrity, "an index names a snapshot that is not in its chain")
        })?;
        Ok((&manifest.id, manifest.object(&pack::name(pack))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::digest::Sha256;

    #[test]
    fn little_is_read_in_frames_and_much_as_a_whole() {
        const MIB: u64 = 1 << 20;
        let frames = (0..10).map(|n| n * MIB).collect();
        let object = Object { name: "p".into(), bytes: 10 * MIB, sha256: Sha256::of(b""), frames };
        let read = |frames: &[u32]| read_of(&object, 0, 3, &frames.iter().copied().collect());
        let few = read(&[1, 2, 7]);
        assert_eq!(few.frames, [1..3, 7..8]);
        assert!(few.bytes > 3 * MIB && few.bytes < 3 * MIB + (256 << 10), "{few:?}");
        assert_eq!(read(&[0, 1, 2, 3, 5, 6, 7, 8]).frames, []);
        assert_eq!(read(&[0, 1, 2, 3, 5, 6, 7, 8]).bytes, 10 * MIB);
        assert_eq!(read(&[4, 9]).frames, [4..5, 9..10]);
        let old = Object { frames: Vec::new(), ..object.clone() };
        assert_eq!(read_of(&old, 0, 3, &BTreeSet::from([0])).bytes, 10 * MIB);
    }
}
