//! The scorecard of a checkpoint: four numbers that a person reads first. docs/evidence.md tells the rule to
//! readers; it is a pure function of the predicate, so everybody can recompute it, and `lifeboat evidence`
//! refuses a predicate with another one.

use super::gate::{Gate, Outcome};
use super::predicate::{Checkpoint, Level, Scorecard};

impl Default for Scorecard {
    /// The worst one: what is written before the facts are known.
    fn default() -> Scorecard {
        Scorecard { readiness: 0, risk: Level::High, tenants_affected: 0, rollback_confidence: Level::Low }
    }
}

/// The scorecard that the facts give; the one in `checkpoint` is not looked at.
pub fn scorecard(checkpoint: &Checkpoint) -> Scorecard {
    let confidence = confidence(checkpoint);
    Scorecard {
        readiness: readiness(checkpoint),
        risk: risk(checkpoint, confidence),
        tenants_affected: checkpoint.scope.tenants.len() as u64,
        rollback_confidence: confidence,
    }
}

/// Percent of the gates that passed, of those that the tier wants, rounded down; 0 where it wants none.
fn readiness(checkpoint: &Checkpoint) -> u8 {
    let wanted = checkpoint.gates.iter().filter(|gate| gate.outcome != Outcome::NotRequired).count();
    let passed = checkpoint.gates.iter().filter(|gate| gate.outcome == Outcome::Passed).count();
    let percent = (passed * 100).checked_div(wanted).unwrap_or(0);
    u8::try_from(percent).unwrap_or(100)
}

/// Whether going back was shown to work.
///
/// - `low`: what it needs is not all there (chain, WAL or files failed or are unknown, whether overridden or
///   not; a file is missing; there is neither a point nor a dump of each tenant), a rehearsal or drill
///   failed, or nothing was ever restored.
/// - `high`: this very point was restored, and every check passed.
/// - `medium`: the last drill passed its gate.
fn confidence(checkpoint: &Checkpoint) -> Level {
    let outcome = |gate: Gate| checkpoint.gates.iter().find(|one| one.gate == gate).map(|one| one.outcome);
    let is_bad = |gate: Gate| !matches!(outcome(gate), Some(Outcome::Passed | Outcome::NotRequired));
    let is_there = checkpoint.point.is_some() || checkpoint.tenants.iter().all(|one| one.dump.is_some());
    let is_whole = checkpoint.tenants.iter().all(|one| one.files.missing == 0);
    let needed = [Gate::Chain, Gate::Wal, Gate::Filestore, Gate::Rehearsal];
    if needed.into_iter().any(is_bad) || !is_there || !is_whole {
        return Level::Low;
    }
    match &checkpoint.rehearsal {
        Some(rehearsal) if !rehearsal.failed.is_empty() => Level::Low,
        Some(_) if outcome(Gate::Rehearsal) == Some(Outcome::Passed) => Level::High,
        _ if outcome(Gate::Drill) == Some(Outcome::Passed) && checkpoint.drill.is_some() => Level::Medium,
        _ => Level::Low,
    }
}

/// What could go wrong, and whether that can be undone.
///
/// - `high`: a gate failed or is unknown, whether overridden or not; or confidence is low; or the release
///   migrates and confidence is not high.
/// - `low`: every gate passed, confidence is high, and the release is known not to migrate.
/// - `medium`: everything else.
fn risk(checkpoint: &Checkpoint, confidence: Level) -> Level {
    let failed = |outcome: Outcome| matches!(outcome, Outcome::Failed | Outcome::Unknown);
    let migrates = checkpoint.release.migrates;
    if checkpoint.gates.iter().any(|gate| failed(gate.outcome))
        || confidence == Level::Low
        || (migrates == Some(true) && confidence != Level::High)
    {
        return Level::High;
    }
    match (confidence, migrates) {
        (Level::High, Some(false)) => Level::Low,
        _ => Level::Medium,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::sample;

    /// Everything as it should be, and rehearsed.
    fn best() -> Checkpoint {
        let mut checkpoint = sample::checkpoint();
        for gate in &mut checkpoint.gates {
            gate.overridden = None;
            if gate.outcome == Outcome::Failed {
                gate.outcome = Outcome::Passed;
            }
        }
        checkpoint.tenants.iter_mut().for_each(|one| one.files.missing = 0);
        checkpoint.rehearsal.iter_mut().for_each(|one| one.failed.clear());
        checkpoint.release.migrates = Some(false);
        checkpoint
    }

    fn with(change: impl FnOnce(&mut Checkpoint)) -> (u8, Level, Level) {
        let mut checkpoint = best();
        change(&mut checkpoint);
        let card = scorecard(&checkpoint);
        (card.readiness, card.risk, card.rollback_confidence)
    }

    fn set(checkpoint: &mut Checkpoint, gate: Gate, outcome: Outcome) {
        checkpoint.gates.iter_mut().filter(|one| one.gate == gate).for_each(|one| one.outcome = outcome);
    }

    #[test]
    fn each_rule_has_its_case() {
        use Level::{High, Low, Medium};
        assert_eq!(with(|_| {}), (100, Low, High));
        assert_eq!(scorecard(&best()).tenants_affected, 2);
        assert_eq!(with(|c| c.release.migrates = None), (100, Medium, High));
        assert_eq!(with(|c| c.release.migrates = Some(true)), (100, Medium, High));
        let unrehearsed = |c: &mut Checkpoint| {
            c.rehearsal = None;
            set(c, Gate::Rehearsal, Outcome::NotRequired);
        };
        assert_eq!(with(unrehearsed), (100, Medium, Medium));
        let migrating = |c: &mut Checkpoint| {
            unrehearsed(c);
            c.release.migrates = Some(true);
        };
        assert_eq!(with(migrating), (100, High, Medium));
        let never_restored = |c: &mut Checkpoint| {
            unrehearsed(c);
            c.drill = None;
        };
        assert_eq!(with(never_restored), (100, High, Low));
        assert_eq!(with(|c| set(c, Gate::Freeze, Outcome::Failed)), (90, High, High));
        for gate in [Gate::Chain, Gate::Wal, Gate::Filestore, Gate::Rehearsal] {
            assert_eq!(with(|c| set(c, gate, Outcome::Unknown)), (90, High, Low), "{gate}");
        }
        assert_eq!(with(|c| c.tenants[0].files.missing = 1), (100, High, Low));
        assert_eq!(with(|c| c.rehearsal.as_mut().unwrap().failed.push("x".into())), (100, High, Low));
        assert_eq!(with(|c| c.point = None), (100, High, Low), "one tenant has no dump");
        let dumped = |c: &mut Checkpoint| {
            c.point = None;
            c.tenants[1].dump = c.tenants[0].dump.clone();
        };
        assert_eq!(with(dumped), (100, Low, High));
        let none = |c: &mut Checkpoint| c.gates.iter_mut().for_each(|g| g.outcome = Outcome::NotRequired);
        assert_eq!(with(none).0, 0);
    }

    #[test]
    fn the_sample_says_what_the_rule_gives() {
        let checkpoint = sample::checkpoint();
        assert_eq!(scorecard(&checkpoint), checkpoint.scorecard);
    }
}
