//! Restores one tenant of a shared cluster to a point in time. Base backup and WAL go into a private scratch
//! cluster that has only the tenant's files. The tenant is dumped from there into a new database beside
//! production, with the files that its rows name. Other tenants are not affected.

pub mod apply;
mod as_of;
mod lines;
pub mod plan;
mod recover;
mod scratch;

use std::path::PathBuf;

use crate::archive::seal::Identities;
use crate::inventory::target::Target;
use crate::names::typed::Typed;
use crate::names::wal::TimelineId;
use crate::names::{SnapshotId, TenantName};
use crate::postgres::load::Choices;
use crate::repository::snapshots::Trust;

pub use scratch::clean;

/// What to restore.
#[derive(Clone)]
pub struct TenantRequest {
    /// The tenant, by its name at the target.
    pub tenant: TenantName,
    /// Where recovery ends.
    pub target: Target,
    /// Use only this base backup.
    pub snapshot: Option<SnapshotId>,
    /// The timeline to follow; the newest if `None`.
    pub timeline: Option<TimelineId>,
    /// A `restore_command` instead of `lifeboat wal fetch`.
    pub restore_command: Option<String>,
    /// Libraries that replay of its WAL needs.
    pub preload: Vec<String>,
    /// The user that runs the scratch cluster, if we are root.
    pub os_user: Option<String>,
    /// The new database; if `None`, a name made of the tenant's name and the time of its state.
    pub name: Option<TenantName>,
    /// Odoo's data directory for the filestore; the configured one if `None`.
    pub data_dir: Option<PathBuf>,
    /// The role that will own everything; the owners at the target if `None`.
    pub owner: Option<String>,
    /// Whether to neutralize; if `None`, every copy that does not have the tenant's own name is neutralized.
    pub neutralize: Option<bool>,
    /// The new `web.base.url` of a neutralized copy.
    pub base_url: Option<String>,
    /// What the load may leave out or change.
    pub load: Choices,
    /// Restore the database without files.
    pub database_only: bool,
    /// Restore only the files that its rows named at that moment.
    pub filestore_only: bool,
    /// Publish although some files of the filestore are intact in no backup.
    pub allow_missing_files: bool,
    /// Other tenants whose backups may also provide files: those that this one was copied from, as the
    /// user says.
    pub files_of: Vec<TenantName>,
    /// Whose manifests are trusted.
    pub trust: Trust,
    /// The identities that decrypt the backups.
    pub identities: Identities,
    /// Their files, for `wal fetch`; if empty, those of the configuration.
    pub identity_files: Vec<PathBuf>,
    /// The command line as typed.
    pub typed: Typed,
}
