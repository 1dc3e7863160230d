//! The last runs of `lifeboat expire` on this host, for `lifeboat status` and the agent's metrics: a run that
//! was refused must not go unseen.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, bytes_text, counted};

/// Largest record that is read.
const BYTES_MAX: u64 = 64 << 10;

/// A run that came to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpireRun {
    /// When.
    pub at: Timestamp,
    /// Snapshots and batches that were deleted.
    pub snapshots: usize,
    /// Size of all that was to be deleted.
    pub freed_bytes: u64,
    /// Size of all that was announced.
    pub announced_bytes: u64,
    /// Objects that could not be deleted.
    pub failed: usize,
    /// Parts that could not be read: more is kept than has to be.
    pub not_known: usize,
    /// Tombstones whose grace is not over.
    pub pending: usize,
    /// Holds in force.
    pub holds: usize,
}

/// What the last runs came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastExpire {
    /// The last one that came to its end.
    pub done: Option<ExpireRun>,
    /// When one failed or was refused since then, and why.
    pub failed: Option<(Timestamp, String)>,
}

impl LastExpire {
    /// The place of the record.
    pub fn file(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join("last-expire.json")
    }

    /// The record; empty where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(file: &Path) -> Result<LastExpire> {
        match disk::read(file, BYTES_MAX) {
            Err(e) if e.kind() == Kind::NotFound => Ok(LastExpire::default()),
            // A damaged one is replaced by the next run.
            bytes => Ok(serde_json::from_slice(&bytes?).unwrap_or_default()),
        }
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(&self, file: &Path) -> Result<()> {
        if let Some(dir) = file.parent() {
            disk::create_private_dir(dir)?;
        }
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        disk::replace_durable(file, &bytes)
    }

    /// The last run in a line; `None` before the first.
    pub fn line(&self) -> Option<String> {
        let run = self.done.as_ref()?;
        let waits = match run.pending {
            0 => String::new(),
            n => format!("; {} waiting", counted(n, "tombstone")),
        };
        let holds = match run.holds {
            0 => String::new(),
            n => format!("; {}", counted(n, "hold")),
        };
        Some(format!(
            "{}: deleted {} ({}), announced {}{waits}{holds}",
            clock::text(run.at),
            bytes_text(run.freed_bytes),
            counted(run.snapshots, "snapshot"),
            bytes_text(run.announced_bytes)
        ))
    }

    /// What a person must look at.
    pub fn problems(&self) -> Vec<String> {
        let failed = self.failed.as_ref().map(|(at, why)| {
            format!("lifeboat expire deleted nothing at {}: {why}; run it by hand", clock::text(*at))
        });
        let run = self.done.as_ref();
        let left = run.filter(|run| run.failed > 0).map(|run| {
            let objects = counted(run.failed, "object");
            format!(
                "lifeboat expire could not delete {objects} at {}; lifeboat log names them",
                clock::text(run.at)
            )
        });
        let unknown = run.filter(|run| run.not_known > 0).map(|run| {
            let when = clock::text(run.at);
            format!("lifeboat expire kept more than it had to at {when}: lifeboat expire --dry-run says what is not known")
        });
        [failed, left, unknown].into_iter().flatten().collect()
    }
}
