//! The result of a drill: derives a verdict and an exit code from the findings and measurements. Pure.

use std::time::Duration;

use lifeboat::clock;
use serde::{Deserialize, Serialize};

use crate::check::Severity;
use crate::run_checks::{Outcome, Status};
use crate::stages::integrity::Integrity;
use crate::stages::restore::Baseline;

/// The result of a drill. The first one that applies, in this order: failed, could not run, missed
/// objective, passed. So damage is reported even if the rest could not be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Restored, validated, and within the objectives.
    Passed,
    /// Restored data is missing, damaged or contradictory, or the archive is damaged.
    Failed,
    /// The data is right, but too old, or recovery took too long.
    MissedObjective,
    /// No statement is possible: a part of the validation was not done.
    CouldNotRun,
}

impl Verdict {
    /// The exit code of `restore-drill run`; 2 means a wrong plan or argument.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Passed => 0,
            Verdict::Failed => 1,
            Verdict::MissedObjective => 3,
            Verdict::CouldNotRun => 4,
        }
    }

    /// The words in the first line of a report.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Passed => "PASSED",
            Verdict::Failed => "FAILED",
            Verdict::MissedObjective => "MISSED THE OBJECTIVE",
            Verdict::CouldNotRun => "COULD NOT RUN",
        }
    }
}

/// The word of a verdict in reports.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::MissedObjective => "missed-objective",
            Verdict::CouldNotRun => "could-not-run",
        })
    }
}

/// An objective and the measured value, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The plan's objective; absent if it has none.
    pub objective_ms: Option<u64>,
    /// The measured value; absent if the drill ended before.
    pub measured_ms: Option<u64>,
}

impl Measure {
    /// Whether the objective was met; `None` without an objective or a measured value.
    pub fn met(&self) -> Option<bool> {
        Some(self.measured_ms? <= self.objective_ms?)
    }
}

/// Milliseconds as text for people.
pub fn span(ms: u64) -> String {
    clock::span_text(Duration::from_millis(ms))
}

/// Everything that a verdict depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Stages that ended with an error: name, error, and whether it proves damage.
    pub stage_errors: &'a [StageError],
    /// The findings about files and indexes; `None` if these were not checked.
    pub integrity: Option<&'a Integrity>,
    /// The comparison with the baseline; `None` if there was none.
    pub baseline: Option<&'a Baseline>,
    /// The outcomes of the checks; empty if they were not run.
    pub outcomes: &'a [Outcome],
    /// Data loss.
    pub rpo: Measure,
    /// Time to recover.
    pub rto: Measure,
}

/// A stage that did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageError {
    /// The stage's name.
    pub stage: String,
    /// The error, in one line.
    pub message: String,
    /// Whether it disproves the promise (the archive is damaged, restored data was not removed), and not
    /// only that something could not be checked.
    pub is_failure: bool,
}

/// The verdict and its reasons, worst first; a drill that passed has no reasons.
pub fn judge(facts: &Facts) -> (Verdict, Vec<String>) {
    let failed = failures(facts);
    let open = unknowns(facts);
    let missed = missed(facts);
    let verdict = match (failed.is_empty(), open.is_empty(), missed.is_empty()) {
        (false, _, _) => Verdict::Failed,
        (true, false, _) => Verdict::CouldNotRun,
        (true, true, false) => Verdict::MissedObjective,
        (true, true, true) => Verdict::Passed,
    };
    (verdict, [failed, open, missed].concat())
}

fn failures(facts: &Facts) -> Vec<String> {
    let errors = facts.stage_errors.iter().filter(|e| e.is_failure);
    let mut reasons: Vec<String> = errors.map(|e| format!("{}: {}", e.stage, e.message)).collect();
    if let Some(found) = facts.integrity {
        for (count, what) in [
            (found.missing, "referenced files are missing"),
            (found.wrong_size, "files do not have the size that the database says"),
            (found.wrong_content, "files have content that does not match their name (SHA-1)"),
            (found.unreadable, "files could not be read"),
            (found.bad_names, "attachments name a file with a name that Odoo never gives"),
            (found.index_problems, "problems in tables and indexes (amcheck)"),
        ] {
            if count > 0 {
                reasons.push(format!("integrity: {count} {what}"));
            }
        }
    }
    if let Some(baseline) = facts.baseline.filter(|baseline| baseline.differences_count > 0) {
        let count = baseline.differences_count;
        let first =
            baseline.differences.first().map_or_else(String::new, |first| format!("; the first: {first}"));
        reasons.push(format!(
            "baseline: {count} differences from the state that was recorded when the backup was taken{first}"
        ));
    }
    for outcome in facts.outcomes.iter().filter(|outcome| outcome.severity == Severity::Hard) {
        match (outcome.status, outcome.violations) {
            (Status::Failed, violations) => {
                let count = violations.unwrap_or(0);
                let why = outcome.message.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
                reasons
                    .push(format!("check {}: {count} violations of \"{}\"{why}", outcome.id, outcome.title));
            }
            (Status::Error, _) => {
                let message = outcome.message.as_deref().unwrap_or("unknown error");
                reasons.push(format!("check {} could not be run: {message}", outcome.id));
            }
            _ => {}
        }
    }
    reasons
}

fn unknowns(facts: &Facts) -> Vec<String> {
    let errors = facts.stage_errors.iter().filter(|e| !e.is_failure);
    let mut reasons: Vec<String> = errors.map(|e| format!("{}: {}", e.stage, e.message)).collect();
    if !reasons.is_empty() {
        return reasons; // the rest would only repeat consequences
    }
    if facts.integrity.is_none() {
        reasons.push("integrity was not checked".to_owned());
    }
    if facts.baseline.is_none() {
        reasons.push("the restore reported no comparison with the baseline of the backup".to_owned());
    }
    let ran =
        |o: &Outcome| o.severity == Severity::Hard && matches!(o.status, Status::Passed | Status::Accepted);
    if !facts.outcomes.iter().any(ran) && failures(facts).is_empty() {
        reasons.push("no hard check could be run: make sure that this is an Odoo database".to_owned());
    }
    reasons
}

fn missed(facts: &Facts) -> Vec<String> {
    let mut reasons = Vec::new();
    for (name, measure) in [("RPO", facts.rpo), ("RTO", facts.rto)] {
        if let (Some(false), Some(measured), Some(objective)) =
            (measure.met(), measure.measured_ms, measure.objective_ms)
        {
            reasons.push(format!("{name} is {}, but the objective is {}", span(measured), span(objective)));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(severity: Severity, status: Status) -> Outcome {
        Outcome {
            id: "ABC01".into(),
            area: "own".into(),
            severity,
            title: "a rule".into(),
            reason: "why".into(),
            status,
            violations: Some(2),
            samples: Vec::new(),
            message: None,
            accepted: None,
            ms: 1,
        }
    }

    fn judged(change: impl FnOnce(&mut Everything)) -> (Verdict, Vec<String>) {
        let mut all = Everything {
            stage_errors: Vec::new(),
            integrity: Some(Integrity::default()),
            baseline: Some(Baseline::default()),
            outcomes: vec![outcome(Severity::Hard, Status::Passed)],
            rpo: Measure { objective_ms: Some(100), measured_ms: Some(100) },
            rto: Measure { objective_ms: None, measured_ms: Some(5) },
        };
        change(&mut all);
        judge(&Facts {
            stage_errors: &all.stage_errors,
            integrity: all.integrity.as_ref(),
            baseline: all.baseline.as_ref(),
            outcomes: &all.outcomes,
            rpo: all.rpo,
            rto: all.rto,
        })
    }

    struct Everything {
        stage_errors: Vec<StageError>,
        integrity: Option<Integrity>,
        baseline: Option<Baseline>,
        outcomes: Vec<Outcome>,
        rpo: Measure,
        rto: Measure,
    }

    fn error(is_failure: bool) -> StageError {
        StageError { stage: "restore".into(), message: "m".into(), is_failure }
    }

    #[test]
    fn all_well_passes_and_exactly_on_the_objective_is_met() {
        assert_eq!(judged(|_| {}), (Verdict::Passed, Vec::new()));
        let noted = |all: &mut Everything| {
            all.outcomes.push(outcome(Severity::Hard, Status::Accepted));
            all.outcomes.push(outcome(Severity::Base, Status::Noted));
            all.outcomes.push(outcome(Severity::Info, Status::Error));
            all.outcomes.push(outcome(Severity::Hard, Status::Skipped));
        };
        assert_eq!(judged(noted).0, Verdict::Passed);
    }

    #[test]
    fn damage_fails_the_drill() {
        for change in [
            |all: &mut Everything| all.outcomes.push(outcome(Severity::Hard, Status::Failed)),
            |all: &mut Everything| all.outcomes.push(outcome(Severity::Hard, Status::Error)),
            |all: &mut Everything| all.integrity.iter_mut().for_each(|i| i.missing = 1),
            |all: &mut Everything| all.integrity.iter_mut().for_each(|i| i.wrong_content = 1),
            |all: &mut Everything| all.integrity.iter_mut().for_each(|i| i.index_problems = 1),
            |all: &mut Everything| all.baseline.iter_mut().for_each(|b| b.differences_count = 3),
            |all: &mut Everything| all.stage_errors.push(error(true)),
        ] {
            let (verdict, reasons) = judged(change);
            assert_eq!((verdict, reasons.len()), (Verdict::Failed, 1), "{reasons:?}");
        }
    }

    #[test]
    fn what_was_not_looked_at_never_passes() {
        for change in [
            |all: &mut Everything| all.integrity = None,
            |all: &mut Everything| all.baseline = None,
            |all: &mut Everything| all.outcomes.clear(),
            |all: &mut Everything| all.outcomes.iter_mut().for_each(|o| o.status = Status::Skipped),
            |all: &mut Everything| all.stage_errors.push(error(false)),
        ] {
            let (verdict, reasons) = judged(change);
            assert_eq!((verdict, reasons.len()), (Verdict::CouldNotRun, 1), "{reasons:?}");
        }
    }

    #[test]
    fn damage_outranks_the_unknown_and_the_unknown_an_objective() {
        let late = |all: &mut Everything| all.rpo.measured_ms = Some(101);
        let (verdict, reasons) = judged(late);
        assert_eq!(verdict, Verdict::MissedObjective);
        assert_eq!(
            reasons,
            ["RPO is 101 ms, but the objective is 100 ms"
                .replace("101 ms", &span(101))
                .replace("100 ms", &span(100))]
        );
        let both = |all: &mut Everything| {
            late(all);
            all.stage_errors.push(error(false));
        };
        assert_eq!(judged(both).0, Verdict::CouldNotRun);
        let all_three = |all: &mut Everything| {
            both(all);
            all.outcomes.push(outcome(Severity::Hard, Status::Failed));
        };
        let (verdict, reasons) = judged(all_three);
        assert_eq!((verdict, reasons.len()), (Verdict::Failed, 3));
        assert!(reasons[0].starts_with("check ABC01: 2 violations"), "{reasons:?}");
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let codes = [Verdict::Passed, Verdict::Failed, Verdict::MissedObjective, Verdict::CouldNotRun];
        assert_eq!(codes.map(Verdict::exit_code), [0, 1, 3, 4]);
    }
}
