//! The result of a drill: derives a verdict and an exit code from the findings and measurements. Pure.

use std::time::Duration;

use lifeboat::clock;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, State};

/// The result of a drill. The first one that applies, in this order: failed, could not run, missed
/// objective, passed. So damage is reported even if the rest could not be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Restored, validated, and within the objectives.
    Passed,
    /// The archive or the restored data is wrong, data was lost since earlier dumps, or Odoo failed on the
    /// copy.
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

    /// The worse one: of several drills, or of a drill and of what became of its report.
    pub fn worst(self, other: Verdict) -> Verdict {
        let rank = |verdict| match verdict {
            Verdict::Passed => 0,
            Verdict::MissedObjective => 1,
            Verdict::CouldNotRun => 2,
            Verdict::Failed => 3,
        };
        if rank(other) > rank(self) { other } else { self }
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

impl Verdict {
    /// The worst first.
    pub fn rank(self) -> u8 {
        match self {
            Verdict::Failed => 0,
            Verdict::CouldNotRun => 1,
            Verdict::MissedObjective => 2,
            Verdict::Passed => 3,
        }
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Verdict::Passed => {
                "The snapshot was restored, everything that was checked is right, and the objectives were met."
            }
            Verdict::Failed => {
                "Something is wrong: the archive, the restored data, what production lost since earlier dumps, or Odoo on the copy."
            }
            Verdict::MissedObjective => "The restored data is right, but an objective was missed.",
            Verdict::CouldNotRun => {
                "The drill was not finished, so it proves nothing: neither that the backup can be restored, nor that it \
                 cannot."
            }
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

/// Whole milliseconds.
pub fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds as text for people.
pub fn span(ms: u64) -> String {
    clock::span_text(Duration::from_millis(ms))
}

/// The verdict and its reasons, worst first; a drill that passed has no reasons.
pub fn judge(findings: &[Finding], rpo: Measure, rto: Measure) -> (Verdict, Vec<String>) {
    let of = |state| -> Vec<String> {
        findings.iter().filter(|finding| finding.state == state).map(Finding::reason).collect()
    };
    let (failed, mut open, missed) = (of(State::Failed), of(State::Unknown), missed(rpo, rto));
    for (name, measure) in [("RPO", rpo), ("RTO", rto)] {
        if failed.is_empty()
            && open.is_empty()
            && measure.objective_ms.is_some()
            && measure.measured_ms.is_none()
        {
            open.push(format!("{name} was not measured, so nothing is known of its objective"));
        }
    }
    let verdict = match (failed.is_empty(), open.is_empty(), missed.is_empty()) {
        (false, _, _) => Verdict::Failed,
        (true, false, _) => Verdict::CouldNotRun,
        (true, true, false) => Verdict::MissedObjective,
        (true, true, true) => Verdict::Passed,
    };
    (verdict, [failed, open, missed].concat())
}

fn missed(rpo: Measure, rto: Measure) -> Vec<String> {
    let mut reasons = Vec::new();
    for (name, measure) in [("RPO", rpo), ("RTO", rto)] {
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

    fn judged(states: &[State], age: u64) -> (Verdict, Vec<String>) {
        let findings: Vec<_> = states.iter().map(|state| Finding::new("part", *state, "what")).collect();
        let rpo = Measure { objective_ms: Some(100), measured_ms: Some(age) };
        judge(&findings, rpo, Measure { objective_ms: None, measured_ms: Some(5) })
    }

    #[test]
    fn all_well_passes_and_exactly_on_the_objective_is_met() {
        assert_eq!(judged(&[], 100), (Verdict::Passed, Vec::new()));
        assert_eq!(judged(&[State::Done, State::NotRun], 100), (Verdict::Passed, Vec::new()));
    }

    #[test]
    fn damage_outranks_the_unknown_and_the_unknown_an_objective() {
        let late = format!("RPO is {}, but the objective is {}", span(101), span(100));
        assert_eq!(judged(&[], 101), (Verdict::MissedObjective, vec![late]));
        assert_eq!(judged(&[State::Unknown], 101).0, Verdict::CouldNotRun);
        let unmeasured = Measure { objective_ms: Some(100), measured_ms: None };
        assert_eq!(judge(&[], unmeasured, Measure::default()).0, Verdict::CouldNotRun);
        let (verdict, reasons) = judged(&[State::Unknown, State::Done, State::Failed], 101);
        assert_eq!((verdict, reasons.len()), (Verdict::Failed, 3));
        assert_eq!(reasons[0], "part: what");
    }

    #[test]
    fn exit_codes_are_those_of_the_help() {
        let codes = [Verdict::Passed, Verdict::Failed, Verdict::MissedObjective, Verdict::CouldNotRun];
        assert_eq!(codes.map(Verdict::exit_code), [0, 1, 3, 4]);
    }
}
