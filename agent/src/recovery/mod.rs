//! `lifeboat restore`: plan, then apply. Choosing and planning change nothing; only `apply`
//! writes. Never overwrites: new names, empty or absent directories.

pub mod apply;
pub mod choose;
mod database;
mod dump_files;
mod dump_list;
mod extract;
pub mod files_only;
mod filestore;
mod fill;
mod find_files;
pub mod instance;
pub mod lines;
mod linked;
pub mod loaded;
mod loading;
mod named_files;
mod noted;
mod own_role;
mod place;
pub mod plan;
pub mod promote;
mod server;
pub mod single;
mod stage_files;
mod staging;
pub mod stopwatch;
pub mod stored;
pub mod tenant;
mod wanted;
mod workers;
mod workplace;

use std::path::PathBuf;

use crate::error::Result;
pub use crate::inventory::pick::Pick;
use crate::inventory::plan::DumpAsked;
use crate::names::TenantName;
use crate::postgres::load::Choices;
use crate::repository::snapshots::Trust;

/// What is asked for.
#[derive(Clone)]
pub struct RestoreRequest {
    /// From what.
    pub asked: DumpAsked,
    /// The new database; a name made of the tenant's and the point's time where `None`.
    pub target: Option<TenantName>,
    /// Odoo's data directory that the filestore goes into; no filestore where `None`.
    pub data_dir: Option<PathBuf>,
    /// The role that will own everything; the recorded owners where `None`.
    pub owner: Option<String>,
    /// Whether to neutralize; where `None`, unless it is the real thing (the tenant's own name).
    pub neutralize: Option<bool>,
    /// What `web.base.url` of a neutralized copy becomes.
    pub base_url: Option<String>,
    /// What the load may leave out or do otherwise.
    pub load: Choices,
    /// Publish although files of the filestore can be had from nowhere.
    pub allow_missing_files: bool,
    /// Tenants whose backups may give files as well: what it was copied from, as a person says.
    pub files_of: Vec<TenantName>,
    /// Whose manifests are believed.
    pub trust: Trust,
}

/// Who owns restored files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Whoever owns the directory that the filestore goes into, where we may give files away.
fn file_owner(data_dir: &std::path::Path) -> Result<Option<FileOwner>> {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let found = crate::disk::beneath::Dir::open(data_dir).and_then(|dir| dir.metadata());
    match found {
        Ok(meta) => Ok(Some(FileOwner { uid: meta.uid(), gid: meta.gid() })),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(crate::error::Error::file("look at", data_dir, e)),
    }
}
