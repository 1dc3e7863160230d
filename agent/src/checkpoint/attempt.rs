//! What a checkpoint that was interrupted leaves in the state directory: the restore point that it made, so
//! that a call soon after it finishes with the same one. A checkpoint that a gate blocks leaves nothing: the
//! next call makes a new point, because the business goes on meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::point::MadePoint;
use crate::catalog::checkpoints;
use crate::catalog::state::StateDir;
use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Error, Kind, Result};

const FILE: &str = "attempt.json";
const BYTES_MAX: u64 = 1 << 20;

/// An attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The repository that it was for.
    pub repository: String,
    /// The cluster.
    pub system_identifier: String,
    /// When it began, by the clock of its host.
    pub begun: Timestamp,
    /// Its restore point.
    pub point: MadePoint,
}

fn file(state: &StateDir, folder: &str) -> Result<PathBuf> {
    let (dir, instance) = state.place();
    Ok(checkpoints::dir(dir, &instance, folder)?.join(FILE))
}

impl Attempt {
    /// What an earlier call left; `None` where there is nothing that can be used.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(state: &StateDir, folder: &str) -> Result<Option<Attempt>> {
        match disk::read(&file(state, folder)?, BYTES_MAX) {
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
            // Half a file, or one of another version: a new point is made.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        }
    }

    /// Whether its point is so young that a call may finish with it.
    pub fn is_young(&self, most: Duration) -> bool {
        let age = clock::now().duration_since(self.begun);
        !age.is_negative() && age.unsigned_abs() <= most
    }

    /// Keeps it, durably.
    pub fn keep(&self, state: &StateDir, folder: &str) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        let file = file(state, folder)?;
        if let Some(dir) = file.parent() {
            disk::create_private_dir(dir)?;
        }
        disk::replace_durable(&file, &bytes)
    }

    /// Forgets it: the checkpoint is stored, or the point does not count any more.
    pub fn forget(state: &StateDir, folder: &str) -> Result<()> {
        disk::remove_file(&file(state, folder)?)
    }
}
