//! Which databases this host has backed up, by object ID, and which of them it reported to be gone. Without
//! the record, a host reports nothing: it knows of no database that it ever saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName};

/// Largest record that is read.
const BYTES_MAX: u64 = 16 << 20;

/// What this host knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Census {
    /// The cluster: of another one, nothing is known.
    pub system_identifier: String,
    /// The repository in which the databases are stored.
    pub repository: String,
    /// The object ID of each database at its last backup.
    pub known: BTreeMap<TenantName, u32>,
    /// Those that the last record says are gone.
    pub absent: BTreeSet<TenantName>,
    /// When the last record was stored, by the clock of this host.
    pub told_at: Option<Timestamp>,
}

impl Census {
    /// The place of the record.
    pub fn file(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join("census.json")
    }

    /// The record of this cluster and repository; a new one where there is none, or it cannot be understood.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(file: &Path, system_identifier: &str, repository: &str) -> Result<Census> {
        let read: Option<Census> = match disk::read(file, BYTES_MAX) {
            Err(e) if e.kind() == Kind::NotFound => None,
            bytes => serde_json::from_slice(&bytes?).ok(),
        };
        let is_of = |one: &Census| one.system_identifier == system_identifier && one.repository == repository;
        let (system_identifier, repository) = (system_identifier.to_owned(), repository.to_owned());
        Ok(read.filter(is_of).unwrap_or(Census { system_identifier, repository, ..Census::default() }))
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(&self, file: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        disk::replace_durable(file, &bytes)
    }
}
