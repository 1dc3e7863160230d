//! A hold: what a person said must stay, whatever the rules say.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::names::{ReleaseId, SnapshotId, TenantName};

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// A snapshot, with all that it needs.
    Snapshot(SnapshotId),
    /// The checkpoint of a release, with all that it takes to go back to it.
    Release(ReleaseId),
    /// All dumps and filestores of a tenant, and what leads to any moment since the first of them.
    Tenant(TenantName),
    /// Every moment from the first to the second.
    Span(Timestamp, Timestamp),
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub held: Held,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When, by the store's clock.
    pub since: Timestamp,
}
