//! The last release checkpoint of this host, for the agent's metrics: the agent does not make them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::record;
use crate::catalog::state::LAST_CHECKPOINT_FILE;
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;

/// What the last calls came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastCheckpoint {
    /// When the last checkpoint that let its release pass was stored.
    pub passed: Option<Timestamp>,
    /// When a gate last blocked a release.
    pub blocked: Option<Timestamp>,
    /// How long the last call took.
    pub seconds: f64,
    /// The word of each gate of the last call, and its outcome.
    pub gates: Vec<(String, String)>,
}

impl LastCheckpoint {
    /// The place of the record.
    pub fn file(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join(LAST_CHECKPOINT_FILE)
    }

    /// The record; empty where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(file: &Path) -> Result<LastCheckpoint> {
        record::read(file)
    }

    /// Replaces the record.
    pub fn keep(&self, file: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        disk::replace_durable(file, &bytes)
    }
}
