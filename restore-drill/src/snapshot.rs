//! The snapshot under test, as its signed manifest describes it.

use lifeboat::archive::manifest::{FilestoreLink, Manifest};
use lifeboat::clock::Timestamp;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::{InstanceName, ReleaseId, SnapshotId, TenantName};
use serde::{Deserialize, Serialize};

/// What the drill and its report need to know of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The instance that it is of.
    pub instance: InstanceName,
    /// Its name.
    pub id: SnapshotId,
    /// The tenant that it is of.
    pub tenant: TenantName,
    /// The release it is tied to.
    pub release: Option<ReleaseId>,
    /// The moment whose state it holds, UTC.
    pub point: Timestamp,
    /// When its last object was stored, UTC.
    pub ended: Timestamp,
    /// Whether the plan named it; else it is the latest of its tenant.
    pub by_choice: bool,
    /// The major version of PostgreSQL that it comes from.
    pub postgres_major: u32,
    /// Odoo's version, where the manifest has one.
    pub odoo_version: Option<String>,
    /// Size of the database when it was dumped.
    pub database_bytes: u64,
    /// The filestore snapshot that goes with it; absent where only the database was backed up.
    pub filestore: Option<SnapshotId>,
    /// Files that the snapshot says it does not hold although the database names them.
    pub missing_files: u64,
    /// The names of the first of them.
    pub missing: Vec<String>,
}

impl Snapshot {
    /// The facts in a manifest whose signature was checked.
    ///
    /// # Errors
    /// [`Kind::Usage`] where it is not that of a dump.
    pub fn of_manifest(manifest: &Manifest, by_choice: bool) -> Result<Snapshot> {
        let dump = manifest.dump_facts()?;
        let tenant = manifest.tenant.clone().ok_or_else(|| {
            Error::new(Kind::Integrity, format!("the manifest of snapshot {} names no tenant", manifest.id))
        })?;
        let files = dump.filestore.as_ref();
        Ok(Snapshot {
            instance: manifest.origin.instance.clone(),
            id: manifest.id.clone(),
            tenant,
            release: manifest.release.clone(),
            point: manifest.point,
            ended: manifest.ended,
            by_choice,
            postgres_major: dump.server_major,
            odoo_version: dump.odoo_version.clone(),
            database_bytes: dump.database_bytes,
            filestore: files.map(|link| link.snapshot.clone()),
            missing_files: files.map_or(0, FilestoreLink::missing_count),
            missing: files
                .iter()
                .flat_map(|link| &link.missing)
                .map(|file| file.store_fname.clone())
                .collect(),
        })
    }
}
