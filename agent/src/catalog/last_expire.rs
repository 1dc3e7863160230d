//! The last runs of `lifeboat expire` on this host, for `lifeboat status` and the agent's metrics: a run that
//! was refused, or found a lock too short, must not go unseen.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::record;
use crate::clock::{self, Timestamp};
use crate::error::Result;
use crate::names::{InstanceName, bytes_text, counted};

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

/// What a run found when it read locks back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocksRead {
    /// When.
    pub at: Timestamp,
    /// Objects whose lock was missing, had ended or was shorter than when they were stored.
    pub too_short: u64,
    /// Objects whose lock could not be read back or made longer.
    pub failed: u64,
    /// Objects that no hold keeps, and whose legal hold could not be lifted.
    #[serde(default)]
    pub not_lifted: u64,
}

/// What the last runs came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastExpire {
    /// The last one that came to its end.
    pub done: Option<ExpireRun>,
    /// When one failed or was refused since then, and why.
    pub failed: Option<(Timestamp, String)>,
    /// The locks, where the last one that looked at them found them.
    #[serde(default)]
    pub locks: Option<LocksRead>,
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
        record::read(file)
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
                "lifeboat expire could not delete {objects} at {}; run it by hand: it names them",
                clock::text(run.at)
            )
        });
        let unknown = run.filter(|run| run.not_known > 0).map(|run| {
            let when = clock::text(run.at);
            format!("lifeboat expire kept more than it had to at {when}: lifeboat expire --dry-run says what is not known")
        });
        let short = self.locks.filter(|locks| locks.too_short > 0).map(|locks| {
            let (objects, when) = (counted(locks.too_short, "object"), clock::text(locks.at));
            format!("lifeboat expire found {objects} at {when} whose lock was missing or too short, and locked them")
        });
        let unlocked = self.locks.filter(|locks| locks.failed > 0).map(|locks| {
            let (objects, when) = (counted(locks.failed, "object"), clock::text(locks.at));
            format!("lifeboat expire could not lock {objects} for long enough at {when}; run it by hand: it names them")
        });
        let not_lifted = self.locks.filter(|locks| locks.not_lifted > 0).map(|locks| {
            let (objects, when) = (counted(locks.not_lifted, "object"), clock::text(locks.at));
            format!("lifeboat expire could not lift the legal hold of {objects} at {when}; run it by hand: it names them")
        });
        [failed, left, unknown, short, unlocked, not_lifted].into_iter().flatten().collect()
    }
}
