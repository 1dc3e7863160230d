//! The snapshot under test, as its signed manifest describes it.

use lifeboat::archive::manifest::{FilestoreLink, Manifest};
use lifeboat::clock::Timestamp;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::inventory::plan::PointPlan;
use lifeboat::names::{InstanceName, Lsn, ReleaseId, SnapshotId, TenantName};
use serde::{Deserialize, Serialize};

/// The point to which a base backup is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replay {
    /// All WAL that is stored.
    Latest,
    /// The last commit at or before this moment.
    Time(Timestamp),
    /// A position in the WAL.
    Lsn {
        /// Where recovery ends.
        lsn: Lsn,
        /// The timeline that it follows.
        timeline: u32,
    },
}

/// What the drill and its report need to know about a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its instance.
    pub instance: InstanceName,
    /// Its name.
    pub id: SnapshotId,
    /// Its tenant; absent for a base backup of which the whole instance is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// The release that it belongs to.
    pub release: Option<ReleaseId>,
    /// The moment whose state is restored (UTC); if a base backup is not replayed to a time, when it was
    /// consistent.
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
    /// The point to which it is replayed, if it is a base backup; absent for a dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed_to: Option<Replay>,
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
            tenant: Some(tenant),
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
            replayed_to: None,
        })
    }

    /// The base backup from which a tenant, or the whole instance, is restored to a point. What it says of a
    /// tenant is known only after the restore.
    ///
    /// # Errors
    /// [`Kind::Integrity`] if it does not say of which PostgreSQL it is.
    pub fn of_base(plan: &PointPlan, tenant: Option<&TenantName>, to: Replay) -> Result<Snapshot> {
        let major = plan.server_version.split(['.', ' ']).next().and_then(|major| major.parse().ok());
        let postgres_major = major.ok_or_else(|| {
            let what = format!("{} is of PostgreSQL {:?}", plan.snapshot, plan.server_version);
            Error::new(Kind::Integrity, what).effect("it is not known which server can replay it")
        })?;
        Ok(Snapshot {
            instance: plan.instance.clone(),
            id: plan.snapshot.clone(),
            tenant: tenant.cloned(),
            release: None,
            point: if let Replay::Time(time) = to { time } else { plan.base_point },
            ended: plan.base_point,
            by_choice: !matches!(to, Replay::Latest),
            postgres_major,
            odoo_version: None,
            database_bytes: 0,
            filestore: None,
            missing_files: 0,
            missing: Vec::new(),
            replayed_to: Some(to),
        })
    }
}
