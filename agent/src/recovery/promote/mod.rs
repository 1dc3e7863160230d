//! `lifeboat promote`: a restored copy becomes the tenant; the old tenant is kept under another name.
//!
//! **No database that can be opened as the tenant ever points to another database's files.** So the order
//! is: write the journal to disk; close both databases; wait until no session is left; rename the
//! filestores; then, in one transaction, rename both databases and open the new tenant. If it is killed
//! anywhere, the same command continues: it identifies databases by their object IDs and filestores by
//! their inodes, not by names. If it fails without being killed, it undoes everything.

pub mod apply;
pub mod journal;
mod lines;
pub mod plan;

use std::path::PathBuf;

use crate::names::TenantName;

/// What to promote.
#[derive(Clone, Debug)]
pub struct PromoteRequest {
    /// The copy.
    pub copy: TenantName,
    /// The tenant that it becomes.
    pub tenant: TenantName,
    /// Odoo's data directory; the configured one, if any, if `None`.
    pub data_dir: Option<PathBuf>,
    /// End open sessions.
    pub disconnect: bool,
    /// Accept a neutralized copy.
    pub although_neutralized: bool,
    /// Accept a copy without a filestore.
    pub without_filestore: bool,
}
