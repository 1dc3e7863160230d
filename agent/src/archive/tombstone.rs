//! Tombstones: what a run of expire wants to delete, said a grace before anything is deleted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::archive::manifest::Origin;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, SnapshotId};

/// The tombstone.
pub const JSON: &str = "tombstone.json";
/// Its signature.
pub const SIGNATURE: &str = "tombstone.json.sig";
/// Largest tombstone that is read: some hundred thousand snapshots.
pub const BYTES_MAX: u64 = 64 << 20;
const FORMAT: u32 = 1;

/// A range of WAL: all objects within it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalRange {
    /// Which timeline.
    pub timeline: TimelineId,
    /// Its first byte.
    pub begin: Lsn,
    /// The byte after its last.
    pub end: Lsn,
    /// What was stored later is not meant.
    pub stored_until: Timestamp,
}

impl WalRange {
    /// Whether it means an object of its timeline with these bytes, which was stored then.
    pub fn holds(&self, begin: Lsn, end: Lsn, stored_at: Timestamp) -> bool {
        self.begin <= begin && end <= self.end && stored_at <= self.stored_until
    }
}

/// What a tombstone names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Snapshots that no rule keeps.
    pub snapshots: BTreeSet<SnapshotId>,
    /// Batches of files that no rule keeps.
    pub batches: BTreeSet<SnapshotId>,
    /// Snapshots without a manifest that nobody writes any more.
    pub unfinished: BTreeSet<SnapshotId>,
    /// WAL that no rule keeps.
    pub wal: Vec<WalRange>,
    /// Objects and folders that belong to nothing, or are old reports. Older programs know none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub garbage: BTreeSet<String>,
}

impl Named {
    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        let Named { snapshots, batches, unfinished, wal, garbage } = self;
        let of_snapshots = snapshots.is_empty() && batches.is_empty() && unfinished.is_empty();
        of_snapshots && wal.is_empty() && garbage.is_empty()
    }
}

/// What shall go, because no recovery class, release or hold keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Version of this format.
    pub format: u32,
    /// Where it belongs.
    pub origin: Origin,
    /// The run of expire that made it, as in its key.
    pub run: SnapshotId,
    /// Up to when the run counted ages.
    pub counted_from: Timestamp,
    /// What goes.
    #[serde(flatten)]
    pub named: Named,
    /// Size of all that.
    pub bytes: u64,
    /// Who made it.
    pub written_by: String,
}

impl Tombstone {
    /// One of this run.
    pub fn new(
        origin: Origin,
        run: SnapshotId,
        counted_from: Timestamp,
        named: Named,
        bytes: u64,
    ) -> Tombstone {
        let written_by = format!("lifeboat {}", env!("CARGO_PKG_VERSION"));
        Tombstone { format: FORMAT, origin, run, counted_from, named, bytes, written_by }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// `Refused` where it names more than a reader takes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write a tombstone").because(e))?;
        bytes.push(b'\n');
        if bytes.len() as u64 > BYTES_MAX {
            return Err(Error::new(Kind::Refused, "the tombstone would be too large to be read again")
                .effect("nothing was announced"));
        }
        Ok(bytes)
    }

    /// Reads the tombstone of this run; its signature was checked.
    ///
    /// # Errors
    /// `Integrity` where it cannot be read, or is of a newer format, or of another run, repository or
    /// instance.
    pub fn parse(run: &SnapshotId, origin: &Origin, bytes: &[u8]) -> Result<Tombstone> {
        let bad = |why: String| {
            Error::new(Kind::Integrity, format!("the tombstone of {run} is wrong")).because(why)
        };
        let tombstone: Tombstone = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if tombstone.format != FORMAT {
            return Err(bad(format!("its format is {}; this program knows {FORMAT}", tombstone.format)));
        }
        match tombstone.origin == *origin && tombstone.run == *run {
            true => Ok(tombstone),
            false => Err(bad("it was made for another run, repository or instance".to_owned())),
        }
    }
}
