//! `junit.xml`: the report for programs that show test results, such as CI systems. Stages, objectives and
//! checks are test cases. What failed is a `failure`; what could not be checked is an `error`; what was not
//! exercised is `skipped`: none of them counts as passed.

use std::fmt::Write;

use lifeboat::error::shown::markup;
use lifeboat::names::counted;

use super::finding::State;
use super::tenants::TenantPart;
use super::verdict::{Verdict, span};
use super::{Report, StageRecord};
use crate::catalogue::run::{Outcome, Status};

/// How a case ended. Texts are of others.
enum Ended {
    Passed,
    Failed { what: String, more: Vec<String> },
    Error(String),
    Skipped(String),
}

struct Case {
    name: String,
    class: String,
    ms: u64,
    ended: Ended,
}

/// Renders a report.
pub fn render(report: &Report) -> String {
    let suites = [
        ("stages", report.stages.iter().map(stage_case).collect::<Vec<_>>()),
        ("objectives", objectives(report)),
        ("tenants", report.tenants.iter().map(tenant_case).collect()),
        ("checks", report.all_checks().map(check_case).collect()),
        ("verdict", vec![verdict(report)]),
    ];
    let all = suites.iter().flat_map(|(_, cases)| cases);
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\" {}>\n",
        markup(&format!("restore drill {} of {}", report.drill, report.drilled())),
        totals(all)
    );
    for (name, cases) in suites.iter().filter(|(name, cases)| *name != "tenants" || !cases.is_empty()) {
        let time = report.begun.strftime("%Y-%m-%dT%H:%M:%S");
        let _ = writeln!(out, "  <testsuite name=\"{name}\" timestamp=\"{time}\" {}>", totals(cases.iter()));
        cases.iter().for_each(|case| write_case(&mut out, case));
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}

fn totals<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped, mut ms) = (0, 0, 0, 0, 0);
    for case in cases {
        tests += 1;
        ms += case.ms;
        match case.ended {
            Ended::Passed => {}
            Ended::Failed { .. } => failures += 1,
            Ended::Error(_) => errors += 1,
            Ended::Skipped(_) => skipped += 1,
        }
    }
    format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{}\"",
        seconds(ms)
    )
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn write_case(out: &mut String, case: &Case) {
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
        markup(&case.class),
        markup(&case.name),
        seconds(case.ms)
    );
    let _ = match &case.ended {
        Ended::Passed => writeln!(out, "/>"),
        Ended::Failed { what, more } => {
            let lines: Vec<String> = more.iter().map(|line| markup(line)).collect();
            let lines = lines.join("\n");
            writeln!(out, "><failure message=\"{}\">{lines}</failure></testcase>", markup(what))
        }
        Ended::Error(what) => writeln!(out, "><error message=\"{}\"/></testcase>", markup(what)),
        Ended::Skipped(why) => writeln!(out, "><skipped message=\"{}\"/></testcase>", markup(why)),
    };
}

fn stage_case(stage: &StageRecord) -> Case {
    let ended = match stage.shown() {
        State::Done => Ended::Passed,
        State::Failed => Ended::Failed { what: stage.note.clone(), more: Vec::new() },
        State::Unknown => Ended::Error(stage.note.clone()),
        State::NotRun => Ended::Skipped(stage.note.clone()),
    };
    Case { name: stage.name.clone(), class: "drill.stage".to_owned(), ms: stage.ms, ended }
}

fn objectives(report: &Report) -> Vec<Case> {
    let case = |(name, measure): (&str, super::Measure)| {
        let ended = match (measure.measured_ms, measure.objective_ms) {
            (Some(measured), Some(objective)) if measured > objective => {
                let what = format!("{} is more than the objective, {}", span(measured), span(objective));
                Ended::Failed { what, more: Vec::new() }
            }
            (Some(_), Some(_)) => Ended::Passed,
            (_, None) => Ended::Skipped("no objective is set".to_owned()),
            (None, Some(_)) => Ended::Error("not measured".to_owned()),
        };
        Case { name: name.to_owned(), class: "drill.objective".to_owned(), ms: 0, ended }
    };
    [("RPO", report.rpo), ("RTO", report.rto)].map(case).into()
}

fn tenant_case(part: &TenantPart) -> Case {
    let what = part.verdict.words().to_owned();
    let ended = match part.verdict {
        Verdict::Passed => Ended::Passed,
        Verdict::Failed | Verdict::MissedObjective => Ended::Failed { what, more: part.reasons.clone() },
        Verdict::CouldNotRun => Ended::Error([vec![what], part.reasons.clone()].concat().join("; ")),
    };
    Case { name: part.tenant.to_string(), class: "drill.tenant".to_owned(), ms: 0, ended }
}

fn check_case((of, outcome): (String, &Outcome)) -> Case {
    let message = outcome.message.clone();
    let ended = match outcome.status {
        Status::Failed => Ended::Failed {
            what: format!(
                "{}: expected none. {}",
                counted(outcome.violations.unwrap_or(0), "violation"),
                outcome.reason
            ),
            more: outcome.samples.clone(),
        },
        Status::Error => Ended::Error(message.unwrap_or_else(|| "it could not be run".to_owned())),
        Status::Skipped => Ended::Skipped(message.unwrap_or_else(|| "it does not apply".to_owned())),
        Status::Passed | Status::Accepted | Status::Noted => Ended::Passed,
    };
    Case {
        name: format!("{of}{} {}", outcome.id, outcome.title),
        class: format!("drill.check.{}.{}", outcome.severity, outcome.area),
        ms: outcome.ms,
        ended,
    }
}

/// So no reader of the file can miss it, whatever the cases say.
fn verdict(report: &Report) -> Case {
    let more = report.reasons.clone();
    let what = report.verdict.words().to_owned();
    let ended = match report.verdict {
        Verdict::Passed => Ended::Passed,
        Verdict::Failed | Verdict::MissedObjective => Ended::Failed { what, more },
        Verdict::CouldNotRun => Ended::Error([vec![what], more].concat().join("; ")),
    };
    let name = format!("{} exercised", report.coverage.text());
    Case { name, class: "drill.verdict".to_owned(), ms: 0, ended }
}
