//! Runs the business checks on the restored database.

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::Result;

use crate::catalogue::check::Severity;
use crate::catalogue::run::{self, Outcome, Status};
use crate::drill::stage::Stage;
use crate::place::{DATABASE, Room};
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
        let mut session = room.connect(DATABASE).await?;
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
        Ok(((), note))
    }
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
    let what = "the backup does not record what these checks find on the source: they are only reported";
    all.push(Finding::new(BASE, State::NotRun, what));
    all
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
