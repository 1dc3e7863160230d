//! The plan of a restore to a point in time: the newest base backup from which the target can be reached, and
//! its WAL.

use serde::Serialize;

use crate::archive::wal_records::Mark;
use crate::clock::Timestamp;
use crate::inventory::reach::Reach;
use crate::inventory::target::Target;
use crate::names::wal::TimelineId;
use crate::names::{InstanceName, Lsn, ReleaseId, SnapshotId, TenantName};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct PointAsked {
    /// One tenant of the instance, by its name at the target.
    pub tenant: Option<TenantName>,
    /// Where recovery ends.
    pub target: Target,
    /// The timeline to follow; the newest where `None`.
    pub timeline: Option<TimelineId>,
    /// This base backup only.
    pub snapshot: Option<SnapshotId>,
    /// Base backups that are tied to this release only.
    pub release: Option<ReleaseId>,
    /// Whether a command of the user's fetches the WAL: then it is not known how far it goes.
    pub own_command: bool,
}

impl PointAsked {
    /// The whole instance.
    pub fn instance(target: Target) -> PointAsked {
        PointAsked { tenant: None, target, timeline: None, snapshot: None, release: None, own_command: false }
    }
}

/// From what the instance, or one tenant of it, is restored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PointPlan {
    /// The repository.
    pub repository: String,
    /// The instance.
    pub instance: InstanceName,
    /// One tenant of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// The base backup.
    pub snapshot: SnapshotId,
    /// Whose packs are read.
    pub chain: Vec<SnapshotId>,
    /// When it was consistent.
    pub base_point: Timestamp,
    /// Where it was consistent.
    pub base_lsn: Lsn,
    /// PostgreSQL's version.
    pub server_version: String,
    /// Where recovery ends.
    pub target: Target,
    /// The restore point that was asked for, where it was found in the stored WAL.
    pub restore_point: Option<Mark>,
    /// How far the stored WAL goes; `None` if that is not known.
    pub wal_end: Option<Lsn>,
    /// When the last of that was stored.
    pub wal_stored_at: Option<Timestamp>,
    /// The timeline that is followed.
    pub timeline: Option<u32>,
    /// The changes of at least the last so many seconds are not in it: since the target, or the last WAL.
    pub loss_seconds: Option<i64>,
    /// Stored bytes of its chain: at most that much is fetched, besides WAL.
    pub stored_bytes: u64,
    /// WAL to replay, at most.
    pub wal_bytes: u64,
    /// What is missing in the base backup, and so in the restored cluster.
    pub lacks: Vec<String>,
    /// What a person should know. Whoever binds the plan adds what he finds.
    pub warnings: Vec<String>,
    /// The WAL that leads to the target.
    #[serde(skip)]
    pub reach: Option<Reach>,
}
