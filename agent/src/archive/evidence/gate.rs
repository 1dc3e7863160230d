//! The gates of a checkpoint: what must be true before a release.

use serde::{Deserialize, Serialize};

/// A gate. Its word is stable: scripts, tiers and overrides name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// What the restore needs is stored, from the base backup to the point, and is what was signed.
    Chain,
    /// The WAL of the point is stored in time.
    Wal,
    /// Every file that a tenant's rows name is stored.
    Filestore,
    /// The last drill is new enough and passed.
    Drill,
    /// The base backup is new enough.
    Base,
    /// No freeze window is open.
    Freeze,
    /// Every repository is in an allowed region.
    Region,
    /// The tier's approvals are there.
    Approval,
    /// A release that migrates has the approval for that.
    Migration,
    /// The agent runs, and its slot is safe.
    Agent,
    /// The rehearsal that was asked for passed.
    Rehearsal,
}

impl Gate {
    /// All of them, in order.
    pub const ALL: [Gate; 11] = [
        Gate::Chain,
        Gate::Wal,
        Gate::Filestore,
        Gate::Drill,
        Gate::Base,
        Gate::Freeze,
        Gate::Region,
        Gate::Approval,
        Gate::Migration,
        Gate::Agent,
        Gate::Rehearsal,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Gate::Chain => "chain",
            Gate::Wal => "wal",
            Gate::Filestore => "filestore",
            Gate::Drill => "drill",
            Gate::Base => "base",
            Gate::Freeze => "freeze",
            Gate::Region => "region",
            Gate::Approval => "approval",
            Gate::Migration => "migration",
            Gate::Agent => "agent",
            Gate::Rehearsal => "rehearsal",
        }
    }

    /// The gate of this word.
    pub fn find(word: &str) -> Option<Gate> {
        Gate::ALL.into_iter().find(|gate| gate.as_str() == word)
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    /// Which.
    pub gate: Gate,
    /// What became of it.
    pub outcome: Outcome,
    /// What was found, in a sentence with its numbers.
    pub found: String,
    /// Who let it pass although it failed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
}

/// The outcome of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is as it must be.
    Passed,
    /// It is not.
    Failed,
    /// It could not be looked up: that blocks like a failure.
    Unknown,
    /// The tier does not want it, or there is nothing to look at.
    NotRequired,
}

/// A person let a gate pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl GateResult {
    /// The word of what became of it: `passed`, `failed`, `unknown`, `not-required` or `overridden`.
    pub fn word(&self) -> &'static str {
        match (self.outcome, &self.overridden) {
            (Outcome::Passed, _) => "passed",
            (Outcome::NotRequired, _) => "not-required",
            (Outcome::Failed | Outcome::Unknown, Some(_)) => "overridden",
            (Outcome::Failed, None) => "failed",
            (Outcome::Unknown, None) => "unknown",
        }
    }

    /// Whether it blocks the release.
    pub fn blocks(&self) -> bool {
        self.would_block() && self.overridden.is_none()
    }

    /// Whether it blocks the release unless a person overrides it.
    pub fn would_block(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Unknown)
    }
}
