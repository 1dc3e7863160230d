//! What a checkpoint decided, and the snapshots that going back rests on.

use std::collections::BTreeSet;

use super::gate::GateResult;
use super::predicate::{Checkpoint, SnapshotRef};

/// What a checkpoint decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every gate passed that the tier wants.
    Passed,
    /// Somebody let a gate pass.
    Overridden,
    /// At least one gate blocks the release.
    Blocked,
}

impl Verdict {
    /// Its word, stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Overridden => "overridden",
            Verdict::Blocked => "blocked",
        }
    }
}

impl Checkpoint {
    /// The gates that block the release.
    pub fn blocking(&self) -> impl Iterator<Item = &GateResult> {
        self.gates.iter().filter(|gate| gate.blocks())
    }

    /// The gates that somebody let pass.
    pub fn overridden(&self) -> impl Iterator<Item = &GateResult> {
        self.gates.iter().filter(|gate| gate.overridden.is_some())
    }

    /// What it decided.
    pub fn verdict(&self) -> Verdict {
        match (self.blocking().next(), self.overridden().next()) {
            (Some(_), _) => Verdict::Blocked,
            (None, Some(_)) => Verdict::Overridden,
            (None, None) => Verdict::Passed,
        }
    }

    /// The verdict as a sentence.
    pub fn verdict_sentence(&self) -> String {
        match self.verdict() {
            Verdict::Passed => "The release may go ahead: every required gate passed.".to_owned(),
            Verdict::Overridden => format!(
                "The release may go ahead, although these gates did not pass: {}. A person overrode them.",
                words(self.overridden())
            ),
            Verdict::Blocked => format!("The release is blocked by: {}.", words(self.blocking())),
        }
    }

    /// Every snapshot that the checkpoint names, sorted by ID, each once.
    pub fn snapshots(&self) -> Vec<&SnapshotRef> {
        let chain = self.base.iter().flat_map(|base| &base.chain);
        let tenants = self.tenants.iter().flat_map(|one| one.dump.iter().chain(&one.files.held_in));
        let configuration = self.configuration.iter().map(|one| &one.snapshot);
        let mut all: Vec<&SnapshotRef> = chain.chain(tenants).chain(configuration).collect();
        let mut seen = BTreeSet::new();
        all.retain(|one| seen.insert((&one.id, one.manifest_sha256)));
        all.sort_by_key(|one| (&one.id, one.manifest_sha256));
        all
    }
}

fn words<'a>(gates: impl Iterator<Item = &'a GateResult>) -> String {
    gates.map(|gate| gate.gate.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::gate::Outcome;
    use crate::archive::evidence::sample;

    #[test]
    fn one_gate_that_blocks_blocks_all_and_an_override_is_never_a_pass() {
        let mut checkpoint = sample::checkpoint();
        assert_eq!(checkpoint.verdict(), Verdict::Overridden);
        assert!(checkpoint.verdict_sentence().contains("did not pass: base"));
        checkpoint.gates.iter_mut().for_each(|gate| {
            gate.overridden = None;
            gate.outcome = Outcome::Passed;
        });
        assert_eq!(checkpoint.verdict(), Verdict::Passed);
        checkpoint.gates[1].outcome = Outcome::Unknown;
        assert_eq!(checkpoint.verdict(), Verdict::Blocked);
        assert!(checkpoint.verdict_sentence().ends_with("blocked by: wal."));
    }

    #[test]
    fn each_snapshot_is_named_once() {
        let checkpoint = sample::checkpoint();
        let all = checkpoint.snapshots();
        assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id), "{all:?}");
        assert!(all.contains(&&checkpoint.configuration.as_ref().unwrap().snapshot));
        assert!(all.contains(&&checkpoint.base.as_ref().unwrap().chain[0]));
    }
}
