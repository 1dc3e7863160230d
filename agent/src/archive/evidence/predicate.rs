//! What the evidence of a checkpoint says: the predicate of its in-toto Statement (docs/evidence.md).
//!
//! Everything that a later decision needs is in it: what was released, the point to go back to, what that
//! needs of the repository, each gate with its result, and what a person must paste to go back.

use serde::{Deserialize, Serialize};

use super::gate::GateResult;
use crate::archive::digest::Sha256;
use crate::archive::manifest::Origin;
use crate::clock::Timestamp;
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};

/// The version of the predicate that this program writes and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The predicate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`FORMAT`].
    pub format: u32,
    /// The repository and instance that it belongs to.
    pub origin: Origin,
    /// What is about to be released.
    pub release: Release,
    /// Which tenants it covers.
    pub scope: Scope,
    /// When work on it began, by the clock of its host.
    pub begun: Timestamp,
    /// When its gates were decided, by the clock of its host.
    pub ended: Timestamp,
    /// The point to go back to; `None` where only dumps can be taken (managed PostgreSQL).
    pub point: Option<Point>,
    /// The base backup that leads to the point, with its chain.
    pub base: Option<BaseChain>,
    /// Each tenant, sorted by name.
    pub tenants: Vec<TenantState>,
    /// The captured configuration, where there is something to capture.
    pub configuration: Option<Configuration>,
    /// What the pipeline attached, sorted by name.
    pub artifacts: Vec<Artifact>,
    /// Where all of it is stored.
    pub repositories: Vec<Place>,
    /// Fingerprints of the recipients that can decrypt it.
    pub recipients: Vec<String>,
    /// The newest drill.
    pub drill: Option<Drill>,
    /// The rehearsal of this very checkpoint, where one was asked for.
    pub rehearsal: Option<Rehearsal>,
    /// Every gate, in the order of [`super::gate::Gate`].
    pub gates: Vec<GateResult>,
    /// The commands that go back, in order.
    pub rollback: Vec<String>,
    /// The checkpoint before this one; `None` for the first.
    pub previous: Option<Previous>,
    /// Readiness, risk and confidence, recomputed by whoever reads this.
    pub scorecard: Scorecard,
    /// Version of the program that wrote it.
    pub written_by: String,
}

/// What is about to be released, as the pipeline said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub id: ReleaseId,
    /// The commit, as hex digits.
    pub commit: Option<String>,
    /// The image's digest: `sha256:` and 64 hex digits.
    pub image: Option<String>,
    /// The tier, as the configuration names it.
    pub tier: String,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// Who approved its migration.
    pub migration_approved_by: Vec<String>,
    /// The change ticket.
    pub ticket: Option<String>,
    /// Whether the module versions of the release show a migration of some tenant; `None` where the pipeline
    /// did not say which versions the release has.
    pub migrates: Option<bool>,
}

/// Which tenants a checkpoint covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The cohort that was asked for.
    pub cohort: Option<String>,
    /// Whether these are all tenants of the instance.
    pub all: bool,
    /// Their names, sorted.
    pub tenants: Vec<TenantName>,
}

/// The named restore point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its name in the WAL.
    pub name: String,
    /// The position after its record.
    pub lsn: Lsn,
    /// The timeline it is on.
    pub timeline: u32,
    /// When it was made, by the server's clock.
    pub time: Timestamp,
    /// The cluster.
    pub system_identifier: String,
    /// As the server says it.
    pub server_version: String,
    /// How far WAL was stored when the gates were decided.
    pub stored: Option<Lsn>,
    /// How long its WAL took to be stored.
    pub stored_after_seconds: Option<f64>,
}

/// A snapshot with the digest of its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Which.
    pub id: SnapshotId,
    /// SHA-256 of `manifest.json` as stored.
    pub manifest_sha256: Sha256,
}

/// The base backup that leads to the point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseChain {
    /// When it was consistent.
    pub point: Timestamp,
    /// Where it was consistent.
    pub lsn: Lsn,
    /// Full one first, itself last.
    pub chain: Vec<SnapshotRef>,
    /// WAL to replay from it to the point.
    pub wal_bytes: u64,
    /// Stored bytes of the chain.
    pub stored_bytes: u64,
}

/// One tenant at the point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantState {
    /// Its database.
    pub tenant: TenantName,
    /// The size of the database.
    pub database_bytes: u64,
    /// Odoo's version, where `base` is installed.
    pub odoo_version: Option<String>,
    /// Its dump, where the checkpoint took one.
    pub dump: Option<SnapshotRef>,
    /// Its files.
    pub files: Files,
    /// Installed modules and their versions, sorted by name.
    pub modules: Vec<ModuleVersion>,
    /// What differs from the previous checkpoint of this tenant, and what the release will change.
    pub module_changes: Vec<ModuleChange>,
    /// SHA-256 of this tenant's baseline: one JSON document with the numbers of every table.
    pub baseline_sha256: Sha256,
}

/// The files that a tenant's rows name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Distinct files that the database names.
    pub named: u64,
    /// Of these in another storage: no backup of the filestore can hold them.
    pub elsewhere: u64,
    /// Of these that the repository held before.
    pub held: u64,
    /// Of these that were stored now.
    pub stored_now: u64,
    /// Of these that the repository does not hold.
    pub missing: u64,
    /// The first missing ones, at most 20.
    pub missing_named: Vec<String>,
    /// The snapshots and batches that hold them, sorted.
    pub held_in: Vec<SnapshotRef>,
}

/// A module and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleVersion {
    /// Its technical name.
    pub name: String,
    /// Its version; a module may have none.
    pub version: Option<String>,
}

/// A module whose version changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleChange {
    /// Its technical name.
    pub name: String,
    /// Before; `None` where it was not installed.
    pub from: Option<String>,
    /// After; `None` where it is not installed any more.
    pub to: Option<String>,
    /// When: since the previous checkpoint, or with this release.
    pub when: ChangeWhen,
}

/// When a module changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeWhen {
    /// Between the previous checkpoint and this one: a migration that was seen.
    SincePrevious,
    /// This release brings it: a migration that is to come.
    WithRelease,
}

/// The captured configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Its snapshot.
    pub snapshot: SnapshotRef,
    /// One digest of all that was captured: equal where nothing changed.
    pub sha256: Sha256,
    /// What changed since the previous checkpoint: paths and objects, at most 100.
    pub changed: Vec<String>,
}

/// What the pipeline attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its URL, without secrets.
    pub url: String,
    /// Its region, where the configuration says it.
    pub region: Option<String>,
}

/// A restore drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    /// Its name.
    pub id: String,
    /// When it ended.
    pub ended: Timestamp,
    /// How old it was at the checkpoint.
    pub age_seconds: i64,
    /// Its verdict.
    pub verdict: String,
    /// What would have been lost.
    pub rpo_seconds: Option<f64>,
    /// How long the restore took.
    pub rto_seconds: Option<f64>,
}

/// A restore of the very point, into a scratch place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// The tenant that was restored.
    pub tenant: TenantName,
    /// The size of its restored database; 0 in evidence that is older than this field.
    #[serde(default)]
    pub database_bytes: u64,
    /// The size of its restored files that rows name; 0 in evidence that is older than this field.
    #[serde(default)]
    pub file_bytes: u64,
    /// How long it took until the tenant could be used.
    pub restore_seconds: f64,
    /// How long the checks took.
    pub check_seconds: f64,
    /// Its verdict.
    pub verdict: String,
    /// Checks that ran.
    pub checks: u64,
    /// Checks that failed, by name.
    pub failed: Vec<String>,
}

/// The checkpoint before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Its release.
    pub release: ReleaseId,
    /// SHA-256 of its `checkpoint.json` as stored.
    pub sha256: Sha256,
}

/// Four numbers that a person reads first; docs/evidence.md tells the rule of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Percent of the gates that passed, of those that the tier wants.
    pub readiness: u8,
    /// `low`, `medium` or `high`.
    pub risk: Level,
    /// How many tenants the release touches.
    pub tenants_affected: u64,
    /// `low`, `medium` or `high`: whether going back was shown to work.
    pub rollback_confidence: Level,
}

/// A level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}
