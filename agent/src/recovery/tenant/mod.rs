//! One tenant of a shared cluster at a point in time: base backup and WAL into a private scratch
//! cluster that has only its files, dumped from there into a new database beside production, with
//! the files that its rows name. The other tenants notice nothing.

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

/// What is asked for.
#[derive(Clone)]
pub struct TenantRequest {
    /// Whose, by its name at the target.
    pub tenant: TenantName,
    /// Where recovery ends.
    pub target: Target,
    /// This base backup only.
    pub snapshot: Option<SnapshotId>,
    /// The timeline to follow; the newest where `None`.
    pub timeline: Option<TimelineId>,
    /// In place of `lifeboat wal fetch`.
    pub restore_command: Option<String>,
    /// Libraries without which its WAL cannot be replayed.
    pub preload: Vec<String>,
    /// Who runs the scratch cluster, where we are root.
    pub os_user: Option<String>,
    /// The new database; a name made of the tenant's and the time of its state where `None`.
    pub name: Option<TenantName>,
    /// Odoo's data directory that the filestore goes into; the configured one where `None`.
    pub data_dir: Option<PathBuf>,
    /// The role that will own everything; the owners at the target where `None`.
    pub owner: Option<String>,
    /// Whether to neutralize; where `None`, unless it is the real thing (the tenant's own name).
    pub neutralize: Option<bool>,
    /// What `web.base.url` of a neutralized copy becomes.
    pub base_url: Option<String>,
    /// What the load may leave out or do otherwise.
    pub load: Choices,
    /// Restore the database and no files.
    pub database_only: bool,
    /// Restore the files that its rows named then and no database.
    pub filestore_only: bool,
    /// Publish although files of the filestore can be had from nowhere.
    pub allow_missing_files: bool,
    /// Tenants whose backups may give files as well: what it was copied from, as a person says.
    pub files_of: Vec<TenantName>,
    /// Whose manifests are believed.
    pub trust: Trust,
    /// What opens the backups.
    pub identities: Identities,
    /// Where they were read from, for `wal fetch`; the configuration's where empty.
    pub identity_files: Vec<PathBuf>,
    /// What a person typed.
    pub typed: Typed,
}
