//! `lifeboat checkpoint`: proves, in seconds, that a release can be undone, or blocks it and says why.
//!
//! **A checkpoint exists when its `checkpoint.json` does** (`repository::releases`): everything that it names
//! is stored and proven before. A call that is killed leaves a restore point that nobody uses; the next call
//! for the same release makes its own.
//!
//! Nothing passes because it could not be looked up: see [`gates`].

mod agent;
mod all_files;
mod captured;
pub mod drill_program;
mod dumps;
mod evidence;
mod files;
mod folders;
pub mod gates;
pub mod modules;
mod needs;
mod point;
mod proof;
mod rehearsal;
mod rehearsal_asked;
mod run;
mod scope;
mod tenant;
mod wal_wait;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::archive::digest::Sha256;
use crate::archive::evidence::gate::GateResult;
use crate::archive::evidence::predicate::{Checkpoint, Release};
use crate::names::TenantName;
use gates::AskedOverride;
use modules::Released;

pub use run::run;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct CheckpointRequest {
    /// The release, as the pipeline says it.
    pub release: Release,
    /// Only these tenants; all where empty and there is no cohort.
    pub tenants: Vec<TenantName>,
    /// The tenants of this cohort.
    pub cohort: Option<String>,
    /// How long it may take; `checkpoint.timeout` where `None`.
    pub timeout: Option<Duration>,
    /// Whether dumps are taken instead of a restore point.
    pub dump: bool,
    /// Whether only the gates are looked at, and nothing is made or stored.
    pub dry_run: bool,
    /// The module versions of the release.
    pub modules: Option<Released>,
    /// What is stored with the configuration.
    pub attach: Vec<PathBuf>,
    /// Gates that a person lets pass.
    pub overrides: Vec<AskedOverride>,
    /// Whether one tenant is restored to the point before the checkpoint says yes.
    pub rehearse: Option<RehearsalAsked>,
}

/// The restore of one tenant to the point, into a scratch place.
#[derive(Clone, Debug)]
pub struct RehearsalAsked {
    /// The tenant; chosen by its size if `None`.
    pub tenant: Option<TenantName>,
    /// The identities that decrypt its backups, as absolute paths. They need no person.
    pub identity_files: Vec<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointReport {
    /// The checkpoint; where a gate blocks, as it would have been.
    pub checkpoint: Checkpoint,
    /// The key of `checkpoint.json`; `None` where a gate blocks, or nothing was to be stored.
    pub stored: Option<String>,
    /// The digest of `checkpoint.json`, where it is stored.
    pub sha256: Option<Sha256>,
    /// Whether an earlier call had made it.
    pub existed: bool,
    /// How long it took.
    pub seconds: f64,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

impl CheckpointReport {
    /// The gates that block the release.
    pub fn blocking(&self) -> impl Iterator<Item = &GateResult> {
        self.checkpoint.gates.iter().filter(|gate| gate.blocks())
    }
}
