//! The snapshot under test, as its signed manifest describes it.

use lifeboat::archive::manifest::{FilestoreLink, Manifest};
use lifeboat::clock::Timestamp;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::{InstanceName, ReleaseId, SnapshotId, TenantName};
use serde::{Deserialize, Serialize};

/// What the drill and its report need to know about a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its instance.
    pub instance: InstanceName,
    /// Its name.
    pub id: SnapshotId,
    /// Its tenant.
    pub tenant: TenantName,
    /// The release that it belongs to.
    pub release: Option<ReleaseId>,
    /// The moment whose state it contains (UTC).
    pub point: Timestamp,
    /// When its last object was stored (UTC).
    pub ended: Timestamp,
    /// Whether the plan named it; otherwise it is the latest of its tenant.
    pub by_choice: bool,
    /// The major version of the source's PostgreSQL.
    pub postgres_major: u32,
    /// Odoo's version, if the manifest has it.
    pub odoo_version: Option<String>,
    /// The size of the database when it was dumped.
    pub database_bytes: u64,
    /// The filestore snapshot that belongs to it; absent if only the database was backed up.
    pub filestore: Option<SnapshotId>,
    /// The number of files that the database names but the snapshot does not contain, as the snapshot says.
    pub missing_files: u64,
    /// The names of the first ones.
    pub missing: Vec<String>,
}

impl Snapshot {
    /// The facts of a manifest whose signature was checked.
    ///
    /// # Errors
    /// [`Kind::Usage`] if it is not the manifest of a dump.
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
