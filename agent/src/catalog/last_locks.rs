//! What the last `lifeboat expire` of this host found when it read locks back, for the agent's metrics.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;

/// Its file.
const FILE: &str = "last-locks.json";
/// Largest record that is read.
const BYTES_MAX: u64 = 64 << 10;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLocks {
    /// When.
    pub at: Timestamp,
    /// Objects whose lock was missing, had ended or was shorter than when they were stored.
    pub too_short: u64,
    /// Objects whose lock could not be read back or made longer.
    pub failed: u64,
}

impl LastLocks {
    /// The place of the record.
    pub fn file(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join(FILE)
    }

    /// The record; `None` where there is none, or it is damaged: the next run replaces it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(file: &Path) -> Result<Option<LastLocks>> {
        match disk::read(file, BYTES_MAX) {
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            bytes => Ok(serde_json::from_slice(&bytes?).ok()),
        }
    }

    /// Replaces the record.
    pub fn keep(&self, file: &Path) -> Result<()> {
        if let Some(dir) = file.parent() {
            disk::create_private_dir(dir)?;
        }
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        disk::replace_durable(file, &bytes)
    }
}
