//! The journal of a promotion. It is on disk before anything is changed, so that the next run knows which
//! database and which filestore is which.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::path::escape;
use crate::disk;
use crate::disk::dir_id::DirId;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName};
use crate::postgres::rename::Facts;

/// The largest journal that is read.
const BYTES_MAX: u64 = 64 << 10;

/// One of the two, before anything was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Its database.
    pub database: Option<Facts>,
    /// Its filestore.
    pub filestore: Option<DirId>,
    /// Whether it was neutralized, if known.
    pub neutralized: Option<bool>,
}

/// A started promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// The copy that is promoted.
    pub copy: TenantName,
    /// The tenant that it becomes.
    pub tenant: TenantName,
    /// The name under which the old state is kept.
    pub replaced: TenantName,
    /// The directory of both filestores; `None` if there are none.
    pub filestores: Option<PathBuf>,
    /// The state of `copy` before.
    pub new: Side,
    /// The state of `tenant` before.
    pub old: Side,
}

/// The path of a tenant's journal.
pub fn file(state_dir: &Path, instance: &InstanceName, tenant: &TenantName) -> PathBuf {
    let name = format!("{}.json", escape(tenant.as_str().as_bytes()));
    state_dir.join(instance.as_str()).join("promote").join(name)
}

impl Journal {
    /// Reads the journal of an interrupted promotion; `None` if there is none.
    pub fn read(file: &Path) -> Result<Option<Journal>> {
        let bytes = match disk::read(file, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == Kind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::new(Kind::Io, format!("{} is not a valid journal of a promotion", file.display()))
                .because(e)
                .effect("it is unknown what an earlier promotion has done")
                .next(
                    "check which databases are closed (psql --list) and which filestores exist; then \
                    remove that file",
                )
        })
    }

    /// Writes it, durably.
    pub fn write(&self, file: &Path) -> Result<()> {
        if let Some(dir) = file.parent() {
            disk::create_private_dir(dir)?;
        }
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the journal").because(e))?;
        disk::replace_durable(file, &bytes)
    }
}
