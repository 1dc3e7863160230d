//! Runs the business checks on the restored database.

use std::collections::BTreeSet;

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::Result;
use lifeboat::names::counted;
use serde_json::Value;

use crate::catalogue::check::{Check, Severity};
use crate::catalogue::run::{self, Outcome, Status};
use crate::drill::stage::Stage;
use crate::place::Room;
use crate::plan::accept::Acceptance;
use crate::report::finding::{Finding, State};
use crate::report::{Report, Summary};
use crate::say;
use crate::setup::Setup;

/// The part of a drill with the hard checks.
pub const HARD: &str = "hard checks";
/// The part of a drill that compares what base checks find with what they found on the source.
pub const BASE: &str = "base checks";

/// The catalogue of checks.
pub struct Checks<'a> {
    /// Where the tenant is.
    pub room: &'a Room,
    /// The catalogue, and the violations that the plan knows.
    pub setup: &'a Setup,
}

impl Stage for Checks<'_> {
    const NAME: &'static str = "checks";
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Checks { room, setup } = self;
        let mut session = room.connect(&room.database).await?;
        let mut outcomes = run::run(&mut session, &setup.catalogue, setup.plan.check_timeout).await?;
        session.close().await;
        accept(&mut outcomes, &setup.plan.accepted, clock::now());
        report.findings.extend(findings(&outcomes));
        report.summary = Summary::of(&outcomes);
        let hard = report.summary.hard;
        let noted = outcomes.iter().filter(|outcome| outcome.status == Status::Noted).count();
        let note = format!(
            "{} of {} hard checks passed, {} failed, {} accepted, {} skipped, {} in error; {noted} others noted",
            hard.passed, hard.all, hard.failed, hard.accepted, hard.skipped, hard.error
        );
        report.checks = outcomes;
        compare_base(report, &setup.catalogue.checks);
        Ok(((), note))
    }
}

/// Says of the base checks in a report what the source has; in place of what was said before, where the
/// restore and the checks ran in different places.
pub fn compare_base(report: &mut Report, checks: &[Check]) {
    report.findings.retain(|finding| finding.part != BASE);
    let is_dump = report.snapshot.as_ref().is_some_and(|snapshot| snapshot.replayed_to.is_none());
    let inputs = inputs(report.restore_answer.as_ref());
    let found = base(checks, &report.checks, is_dump, &inputs);
    report.findings.push(found);
}

/// What the outcomes say about the drill. A hard check that could not be run to its end fails it: nobody may
/// pass by making a check slow.
fn findings(outcomes: &[Outcome]) -> Vec<Finding> {
    let mut all = Vec::new();
    let hard = |outcome: &&Outcome| outcome.severity == Severity::Hard;
    for outcome in outcomes.iter().filter(hard) {
        let (id, message) = (&outcome.id, outcome.message.as_deref());
        let what = match outcome.status {
            Status::Failed => {
                let why = message.map_or_else(String::new, |why| format!(" ({why})"));
                let count = outcome.violations.unwrap_or(0);
                format!("{count} violations of \"{}\"{why}", outcome.title)
            }
            Status::Error => format!("could not be run: {}", message.unwrap_or("unknown error")),
            _ => continue,
        };
        all.push(Finding::of_check(HARD, id, State::Failed, what));
    }
    let ran = |o: &&Outcome| hard(o) && matches!(o.status, Status::Passed | Status::Accepted);
    let ran = outcomes.iter().filter(ran).count();
    if all.is_empty() {
        all.push(match ran {
            0 => {
                let what = "no hard check could be run: make sure that this is an Odoo database";
                Finding::new(HARD, State::Unknown, what)
            }
            _ => Finding::new(HARD, State::Done, format!("{ran} passed")),
        });
    }
    all
}

/// What base checks read and the restore found to be as on the source, as `table.column`.
fn inputs(answer: Option<&Value>) -> BTreeSet<String> {
    let all = answer.and_then(|answer| answer.pointer("/baseline/inputs")?.as_array());
    all.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// Checks that read an id of every table.
const OF_EVERY_TABLE: [&str; 2] = ["ATT05", "REF04"];

/// What base checks find on the copy is what they find on the source, if what they read is the same: a
/// difference would have failed the restore. Others are named.
fn base(checks: &[Check], outcomes: &[Outcome], is_dump: bool, inputs: &BTreeSet<String>) -> Finding {
    if !is_dump {
        let what = "nothing is recorded of the source at this moment: they are only reported";
        return Finding::new(BASE, State::NotRun, what);
    }
    let ran = outcomes
        .iter()
        .filter(|one| one.severity == Severity::Base && matches!(one.status, Status::Passed | Status::Noted));
    let is_same = |outcome: &&Outcome| {
        let check = checks.iter().find(|check| check.id == outcome.id);
        !OF_EVERY_TABLE.contains(&outcome.id.as_str()) && check.is_some_and(|check| reads_only(check, inputs))
    };
    let (same, other): (Vec<&Outcome>, Vec<&Outcome>) = ran.partition(is_same);
    let names = |all: &[&Outcome]| all.iter().map(|one| one.id.as_str()).collect::<Vec<_>>().join(", ");
    if same.is_empty() {
        let why = match inputs.is_empty() {
            true => "an older program made this dump, and did not record what these checks read",
            false => "none that could be compared ran",
        };
        return Finding::new(BASE, State::NotRun, format!("{why}: they are only reported"));
    }
    let found: u64 = same.iter().filter_map(|one| one.violations).sum();
    let mut what = format!(
        "what {} read is the same on the copy as on the source, by digest: both have {found} violations",
        counted(same.len() as u64, "check")
    );
    if !other.is_empty() {
        what.push_str(&format!("; not compared, because they read more than is recorded: {}", names(&other)));
    }
    Finding::new(BASE, State::Done, what)
}

/// Whether everything that a check names was compared. The rows of a table that it names without a column
/// are counted in every baseline.
fn reads_only(check: &Check, inputs: &BTreeSet<String>) -> bool {
    check.requires.iter().all(|needed| needed.column.is_none() || inputs.contains(&needed.to_string()))
}

/// Compares what hard checks found with what the plan accepts.
fn accept(outcomes: &mut [Outcome], accepted: &[Acceptance], now: Timestamp) {
    for outcome in outcomes {
        let Some(known) = accepted.iter().find(|known| known.check == outcome.id) else { continue };
        outcome.accepted = Some(known.clone());
        match (outcome.status, outcome.violations) {
            (Status::Failed, Some(violations)) => match known.refuses(violations, now) {
                None => {
                    outcome.status = Status::Accepted;
                    let (id, max, day, why) = (&outcome.id, known.max, known.last_day(), &known.reason);
                    say::line(&format!(
                        "  accepted: {id}: {violations} violations (at most {max}, until {day}): {why}"
                    ));
                }
                Some(why) => outcome.message = Some(why),
            },
            (Status::Passed, _) => {
                let what = format!(
                    "the plan accepts {} violations, but there are none any more: remove this entry from the plan",
                    known.max
                );
                outcome.message = Some(what);
            }
            _ => {} // skipped or in error: there is nothing to accept
        }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat::odoo::baseline::inputs;

    use super::*;
    use crate::catalogue;

    #[test]
    fn a_backup_records_all_that_base_checks_name() {
        let recorded: BTreeSet<String> = inputs::names().collect();
        let checks = catalogue::load(None).unwrap().checks;
        for check in checks.iter().filter(|check| check.severity == Severity::Base) {
            assert_eq!(
                reads_only(check, &recorded),
                !OF_EVERY_TABLE.contains(&check.id.as_str()) || check.id == "REF04",
                "{}: record what it reads, in agent/src/odoo/baseline/inputs.rs",
                check.id
            );
        }
    }

    #[test]
    fn base_checks_count_only_if_what_they_read_was_compared() {
        let checks = catalogue::load(None).unwrap().checks;
        let outcome = |id: &str, violations| {
            let json = serde_json::json!({"id": id, "area": "a", "severity": "base", "title": "t",
                "reason": "r", "status": "noted", "violations": violations, "samples": [],
                "message": null, "ms": 1});
            serde_json::from_value::<Outcome>(json).unwrap()
        };
        let all = [outcome("SAL10", 2), outcome("ATT05", 9), outcome("SAL12", 1)];
        let recorded: BTreeSet<String> =
            ["sale_order.company_id", "sale_order.name"].map(str::to_owned).into();
        let done = base(&checks, &all, true, &recorded);
        assert_eq!(done.state, State::Done);
        assert!(done.what.contains("both have 2 violations; not compared"), "{}", done.what);
        assert!(done.what.ends_with("ATT05, SAL12"), "{}", done.what);
        for (is_dump, recorded, why) in
            [(true, BTreeSet::new(), "older program"), (false, recorded, "at this moment")]
        {
            let open = base(&checks, &all, is_dump, &recorded);
            assert!(open.state == State::NotRun && open.what.contains(why), "{}", open.what);
        }
    }
}
