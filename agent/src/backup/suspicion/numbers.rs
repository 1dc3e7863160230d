//! What a backup of a tenant keeps for the next one to compare with: numbers alone, in the state directory.
//! This host cannot read its own backups.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::path::escape;
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};
use crate::odoo::lasting::LastingCounts;

/// The version of the record that this program writes and reads.
const VERSION: u32 = 1;
/// Largest record that is read.
const BYTES_MAX: u64 = 64 << 20;

/// The numbers of a tenant's last backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbers {
    version: u32,
    /// The repository's id.
    repository: String,
    /// Of its last dump.
    pub(super) database: Option<DatabaseNumbers>,
    /// Of the last one that was large enough to say how well it can be compressed.
    #[serde(default)]
    pub(super) dump: Option<Compressed>,
    /// The same of the new files of a filestore.
    #[serde(default)]
    pub(super) new_files: Option<Compressed>,
    /// The last snapshots in which nothing was found.
    pub(super) good: Good,
}

/// How well data could be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Compressed {
    /// Its bytes.
    pub(super) plain: u64,
    /// The bytes that were stored of it.
    pub(super) stored: u64,
}

/// The last good snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Good {
    /// The dump.
    pub(super) dump: Option<SnapshotId>,
    /// The filestore.
    pub(super) filestore: Option<SnapshotId>,
}

/// The numbers of a database at the point of its dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatabaseNumbers {
    /// When its point was taken, by this host's clock.
    pub(super) at: Timestamp,
    /// Where its WAL was.
    pub(super) lsn: Lsn,
    /// Its number in its cluster: another one is another database, whatever its name.
    pub(super) oid: u32,
    /// Odoo's `database.uuid`.
    pub(super) uuid: Option<String>,
    /// The release that the backup is tied to.
    pub(super) release: Option<ReleaseId>,
    /// Installed modules, sorted.
    pub(super) modules: Vec<String>,
    /// The tables whose rows last.
    pub(super) tables: BTreeMap<String, LastingCounts>,
}

impl Numbers {
    /// Without any.
    pub(super) fn none(repository: &str) -> Numbers {
        let good = Good::default();
        Numbers {
            version: VERSION,
            repository: repository.to_owned(),
            database: None,
            dump: None,
            new_files: None,
            good,
        }
    }

    /// The file of a tenant.
    pub(super) fn file(dir: &Path, tenant: &TenantName) -> PathBuf {
        dir.join(format!("{}.numbers.json", escape(tenant.as_str().as_bytes())))
    }

    /// The numbers in this file; `None` if there are none, or they are of another repository.
    ///
    /// # Errors
    /// If they cannot be read or are damaged.
    pub(super) fn read(file: &Path, repository: &str) -> Result<Option<Numbers>> {
        let bytes = match disk::read(file, BYTES_MAX) {
            Err(e) if e.kind() == Kind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let damaged = || Error::new(Kind::Io, format!("{} is damaged", file.display()));
        let read: Numbers = serde_json::from_slice(&bytes).map_err(|e| damaged().because(e))?;
        match read.version {
            VERSION => Ok(Some(read).filter(|read| read.repository == repository)),
            other => Err(damaged().because(format!("it has version {other}"))),
        }
    }

    /// Replaces the file, durably.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn keep(&self, file: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        disk::replace_durable(file, &bytes)
    }
}
