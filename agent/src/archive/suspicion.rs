//! The record of a suspicious backup: which snapshots were the last good ones, and how long they are kept for
//! it. It is signed and not encrypted, so it has no numbers of the company.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::archive::manifest::Origin;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};

/// The version of this document.
const FORMAT: u32 = 1;
/// Largest record that is read.
pub const BYTES_MAX: u64 = 64 << 10;
/// The longest that snapshots are kept for a record, whatever it says.
const KEEP_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspicionRecord {
    format: u32,
    /// The repository and instance that it belongs to.
    pub origin: Origin,
    /// The suspicious snapshot, as in its key.
    pub snapshot: SnapshotId,
    /// Whose it is.
    pub tenant: TenantName,
    /// What was found, without numbers: `documents-gone sale_order`.
    pub found: Vec<String>,
    /// The last good snapshots, which are kept.
    pub good: Vec<SnapshotId>,
    /// How long they are kept, from when the store stored this record.
    pub keep_seconds: u64,
}

impl SuspicionRecord {
    /// A new one.
    pub fn new(
        origin: Origin,
        (snapshot, tenant): (SnapshotId, TenantName),
        found: Vec<String>,
        good: Vec<SnapshotId>,
        keep: Duration,
    ) -> SuspicionRecord {
        let keep_seconds = keep.as_secs();
        SuspicionRecord { format: FORMAT, origin, snapshot, tenant, found, good, keep_seconds }
    }

    /// How long the good snapshots are kept: at most ten years.
    pub fn keep(&self) -> Duration {
        Duration::from_secs(self.keep_seconds).min(KEEP_MAX)
    }

    /// The document, as it is stored.
    ///
    /// # Errors
    /// `Internal`, which is a bug.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string_pretty(self).map_err(|e| {
            Error::new(Kind::Internal, "cannot write the record of a suspicious backup").because(e)
        })?;
        Ok((text + "\n").into_bytes())
    }

    /// The document that [`SuspicionRecord::to_json`] wrote for this snapshot of `origin`.
    ///
    /// # Errors
    /// `Integrity` if it is not one, of a newer format, or written for another snapshot or repository.
    pub fn from_json(text: &[u8], origin: &Origin, snapshot: &SnapshotId) -> Result<SuspicionRecord> {
        let bad = |why: String| {
            Error::new(Kind::Integrity, format!("the record of {snapshot} is wrong")).because(why)
        };
        let read: SuspicionRecord = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
        match read {
            SuspicionRecord { format, .. } if format != FORMAT => {
                Err(bad(format!("it has format {format}, and this program reads {FORMAT}")))
            }
            SuspicionRecord { origin: other, .. } if other != *origin => {
                Err(bad("it was written for another repository or instance".to_owned()))
            }
            SuspicionRecord { snapshot: other, .. } if other != *snapshot => {
                Err(bad(format!("it is the record of {other}, under another name")))
            }
            read => Ok(read),
        }
    }
}
