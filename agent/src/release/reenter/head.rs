//! What an export is of.

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::names::{ReleaseId, TenantName};

/// What `summary.json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Head {
    /// The version of the files.
    pub format: u32,
    /// The release whose point it is.
    pub release: ReleaseId,
    /// The tenant.
    pub tenant: TenantName,
    /// The database that was exported.
    pub from: TenantName,
    /// The copy at the point.
    pub against: TenantName,
    /// The time of the point.
    pub point: Timestamp,
}
