//! What a drill is run with: plan, checks, program, and the snapshot that was chosen.

use std::path::PathBuf;

use crate::checks::Catalogue;
use crate::plan::Plan;
use crate::report::NotChecked;
use crate::snapshot::Snapshot;

/// What a drill is run with, all of it checked.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The plan.
    pub plan: Plan,
    /// The checks.
    pub catalogue: Catalogue,
    /// The program `lifeboat`.
    pub program: PathBuf,
}

/// The snapshot to restore, and what was odd about finding it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Snapshots that could not be considered, and why.
    pub passed_over: Vec<NotChecked>,
}
