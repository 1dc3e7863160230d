//! `lifeboat promote`: a restored copy becomes the tenant; what the tenant was is kept beside it.
//!
//! **No database that can be opened as the tenant ever points to another one's files.** So in this order:
//! the journal is on disk; both databases are closed; nobody is in them; the filestores have their new names;
//! then, in one transaction, both databases have theirs, and the new tenant is open. Killed anywhere, the same
//! command goes on: databases are told by their object IDs and filestores by their inodes, not by names.
//! What fails without being killed is put back.

pub mod apply;
pub mod journal;
mod lines;
pub mod plan;

use std::path::PathBuf;

use crate::names::TenantName;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct PromoteRequest {
    /// The copy.
    pub copy: TenantName,
    /// What it becomes.
    pub tenant: TenantName,
    /// Odoo's data directory, in place of the configuration's.
    pub data_dir: Option<PathBuf>,
    /// Sessions are ended.
    pub disconnect: bool,
    /// A neutralized copy will do.
    pub although_neutralized: bool,
    /// A copy without a filestore will do.
    pub without_filestore: bool,
}
