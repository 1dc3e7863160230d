//! `lifeboat restore`: plan, then apply. Choosing and planning change nothing; only `apply` writes. It never
//! overwrites: it uses new names, and empty or absent directories.

pub mod announced;
pub mod apply;
pub mod choose;
pub mod configuration;
mod database;
mod dump_files;
mod dump_list;
mod early_sync;
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
pub mod timing;
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

/// What to restore.
#[derive(Clone)]
pub struct RestoreRequest {
    /// The source.
    pub asked: DumpAsked,
    /// The new database; if `None`, a name made of the tenant's name and the point's time.
    pub target: Option<TenantName>,
    /// Odoo's data directory for the filestore; the configured one if `None`. It is not used with
    /// [`DumpAsked::database_only`], or if the dump has no filestore.
    pub data_dir: Option<PathBuf>,
    /// The role that will own everything; the recorded owners if `None`.
    pub owner: Option<String>,
    /// Whether to neutralize; if `None`, every copy that does not have the tenant's own name is neutralized.
    pub neutralize: Option<bool>,
    /// The new `web.base.url` of a neutralized copy.
    pub base_url: Option<String>,
    /// What the load may leave out or change.
    pub load: Choices,
    /// Publish although some files of the filestore are intact in no backup.
    pub allow_missing_files: bool,
    /// Other tenants whose backups may also provide files: those that this one was copied from, as the
    /// user says.
    pub files_of: Vec<TenantName>,
    /// Whose manifests are trusted.
    pub trust: Trust,
}

/// The owner of restored files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The owner of the directory for the filestore, if we may give files away.
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
