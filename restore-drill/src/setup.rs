//! The input of a drill: plan, checks, program, and the chosen snapshot.

use std::path::PathBuf;

use crate::catalogue::Catalogue;
use crate::plan::Plan;
use crate::snapshot::Snapshot;

/// The validated input of a drill.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The plan.
    pub plan: Plan,
    /// The checks.
    pub catalogue: Catalogue,
    /// The program `lifeboat`.
    pub program: PathBuf,
}

/// The snapshot to restore, and what was noticed when it was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Snapshots that were skipped, and why; also a note about the writer's clock.
    pub skipped: Vec<Skipped>,
}

/// Something that the choice did not look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// The reason.
    pub why: String,
}
