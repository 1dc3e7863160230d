//! Which controls of common frameworks a drill is evidence for. A drill is evidence that a recovery was
//! tested, also if the test failed; whether that is enough is for the auditor to say.

use super::Report;
use super::finding::State;
use super::verdict::Verdict;

/// One control of a framework.
struct Control {
    framework: &'static str,
    reference: &'static str,
    asks: &'static str,
    stages: &'static [&'static str],
    /// Whether measured RPO and RTO belong to it.
    measures: bool,
    not: &'static str,
}

const CONTROLS: [Control; 5] = [
    Control {
        framework: "SOC 2",
        reference: "A1.3",
        asks: "recovery procedures are tested, and meet the objectives",
        stages: &["restore", "before", "files", "indexes", "checks"],
        measures: true,
        not: "people, sites and communication",
    },
    Control {
        framework: "ISO/IEC 27001:2022",
        reference: "A.8.13",
        asks: "backups are kept, and tested regularly",
        stages: &["restore", "before", "files", "indexes", "checks"],
        measures: false,
        not: "whether every system is backed up; how often drills are run",
    },
    Control {
        framework: "ISO/IEC 27001:2022",
        reference: "A.5.30",
        asks: "ICT readiness is tested against continuity objectives",
        stages: &["choose", "restore", "checks", "odoo", "transactions"],
        measures: true,
        not: "other systems that the business needs; the time to notice and to decide",
    },
    Control {
        framework: "NIS2",
        reference: "Art. 21(2)(c); Implementing Regulation (EU) 2024/2690, Annex, 4.2",
        asks: "backups are managed; their integrity and their recovery are tested",
        stages: &["restore", "before", "files", "indexes", "checks"],
        measures: true,
        not: "crisis management; redundancy of facilities and staff",
    },
    Control {
        framework: "DORA",
        reference: "Regulation (EU) 2022/2554, Art. 12",
        asks: "restoring is tested, on a system apart from the source, and the data are reconciled",
        stages: &["provision", "restore", "before", "neutralized", "files", "checks"],
        measures: true,
        not: "whether this host is physically and logically apart from production",
    },
];

/// A control, and what of this drill is evidence for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The framework.
    pub framework: &'static str,
    /// Where in it.
    pub reference: &'static str,
    /// What it asks for, in our words.
    pub asks: &'static str,
    /// What this drill says about it.
    pub says: String,
    /// The stages that say it, and how each ended.
    pub by: String,
    /// What no drill shows.
    pub not: &'static str,
}

/// What this drill is evidence for.
pub fn evidence(report: &Report) -> Vec<Evidence> {
    CONTROLS.iter().map(|control| of(control, report)).collect()
}

fn of(control: &Control, report: &Report) -> Evidence {
    let own: Vec<_> =
        report.stages.iter().filter(|stage| control.stages.contains(&stage.name.as_str())).collect();
    let ended = |state| own.iter().filter(|stage| stage.shown() == state).count();
    let done = ended(State::Done) + ended(State::Failed);
    let says = match (report.verdict, done) {
        (_, 0) => "no evidence: nothing of it was exercised",
        (Verdict::CouldNotRun, _) => "no evidence of a recovery: the drill did not finish",
        (Verdict::Failed, _) => "tested, and the test failed",
        (_, done) if done < own.len() => "tested in part",
        (Verdict::MissedObjective, _) if control.measures => "tested; an objective was missed",
        (Verdict::MissedObjective | Verdict::Passed, _) => "tested",
    };
    let mut by: Vec<String> =
        own.iter().map(|stage| format!("{} ({})", stage.name, stage.shown().word())).collect();
    if control.measures {
        by.extend([("RPO", report.rpo), ("RTO", report.rto)].map(|(name, one)| match one.met() {
            Some(true) => format!("{name} (met)"),
            Some(false) => format!("{name} (missed)"),
            None if one.measured_ms.is_some() => format!("{name} (no objective)"),
            None => format!("{name} (not measured)"),
        }));
    }
    let Control { framework, reference, asks, not, .. } = *control;
    Evidence { framework, reference, asks, says: says.to_owned(), by: by.join(", "), not }
}
