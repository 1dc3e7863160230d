//! A stage of a drill, and the drill that runs one after the other: each is timed, and its findings are
//! written down.

use std::time::{Duration, Instant};

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::random_hex;
use lifeboat::odoo::neutralize::Unknowns;
use tokio_util::sync::CancellationToken;

use crate::report::finding::{Coverage, Finding, State, one_line};
use crate::report::tenants;
use crate::report::verdict::{self, Measure, ms};
use crate::report::{Report, StageRecord};
use crate::say;
use crate::setup::Setup;

/// The column of a stage's note on the screen.
const STAGE_NOTE: usize = 28;
/// What is said of everything that was not reached.
const NOT_REACHED: &str = "an earlier stage did not finish";
/// The stage in which a place makes its room.
pub const PROVISION: &str = "provision";
/// The stage that a place runs at the end, whatever happened before.
pub const TEAR_DOWN: &str = "tear down";

/// What happens to a stage when the drill is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is dropped at once.
    Drop,
    /// It ends by itself, soon or because it was told to: if it were dropped, it would leave data or
    /// processes.
    ByItself,
    /// It runs, also after the drill was cancelled.
    Never,
}

/// A stage with its input.
pub trait Stage: Send {
    /// Its name in the report.
    const NAME: &'static str;
    /// What happens to it when the drill is cancelled.
    const STOP: Stop = Stop::Drop;
    /// Whether its time counts for the RTO.
    const IN_RTO: bool = true;
    /// Whether every error of it fails the drill, also one that says nothing about the archive.
    const ERROR_FAILS: bool = false;
    /// What the next stages need of it.
    type Output: Send;

    /// Does it: writes its findings into the report, and returns its output and a line for people.
    fn run(self, report: &mut Report) -> impl Future<Output = Result<(Self::Output, String)>> + Send;
}

/// A drill that is going on: its input, and its report so far.
pub struct Drill<'a> {
    /// What is drilled, and how.
    pub setup: &'a Setup,
    /// Ends the drill early.
    pub cancel: &'a CancellationToken,
    /// What is known so far.
    pub report: Report,
    clock: Instant,
}

impl<'a> Drill<'a> {
    /// Begins one.
    pub fn begin(setup: &'a Setup, cancel: &'a CancellationToken) -> Drill<'a> {
        let begun = clock::now();
        let id = format!("{}-drill-{}", begun.strftime("%Y%m%dT%H%M%SZ"), random_hex(4));
        Drill::named(setup, cancel, begun, id)
    }

    /// A part of one that began elsewhere under this name.
    pub fn named(setup: &'a Setup, cancel: &'a CancellationToken, begun: Timestamp, id: String) -> Drill<'a> {
        let what =
            setup.tenant.as_ref().map_or("the whole instance".to_owned(), |name| format!("tenant {name}"));
        say::line(&format!("drill {id}: {what}"));
        Drill {
            setup,
            cancel,
            report: Report::new(&setup.plan, setup.tenant.as_ref(), id, begun),
            clock: clock::instant(),
        }
    }

    /// Runs a stage and writes down its time and findings; its output, unless it failed or the drill was
    /// cancelled.
    pub async fn stage<S: Stage>(&mut self, stage: S) -> Option<S::Output> {
        if self.cancel.is_cancelled() && S::STOP != Stop::Never {
            if !self.report.findings.iter().any(|finding| finding.state == State::Unknown) {
                let what = "stopped by a signal before it began";
                self.report.findings.push(Finding::new(S::NAME, State::Unknown, what));
            }
            return None; // `end` writes down that it was not run
        }
        let begun = clock::instant();
        let cancelled = async {
            match S::STOP {
                Stop::Drop => self.cancel.cancelled().await,
                Stop::ByItself | Stop::Never => std::future::pending().await,
            }
        };
        let before = self.report.findings.len();
        let result = tokio::select! {
            result = stage.run(&mut self.report) => result,
            () = cancelled => Err(Error::new(Kind::Interrupted, "stopped by a signal")),
        };
        let (output, note) = match result {
            Ok((output, note)) => (Some(output), note),
            Err(error) => {
                let mut finding = Finding::of_error(S::NAME, &error);
                if S::ERROR_FAILS {
                    finding.state = State::Failed;
                }
                self.report.findings.push(finding);
                (None, one_line(&error))
            }
        };
        let own = &self.report.findings[before..];
        let worst = own.iter().map(|finding| finding.state).max().unwrap_or(State::Done);
        let state = if worst == State::NotRun { State::Done } else { worst };
        let exercised = own.is_empty() || own.iter().any(|finding| finding.state != State::NotRun);
        self.record(S::NAME, state, begun.elapsed(), note, (S::IN_RTO, exercised));
        output
    }

    /// The copy is validated: the time to recover ends here.
    pub fn recovered(&mut self) {
        if !self.report.findings.iter().any(|finding| finding.state == State::Unknown) {
            self.report.rto.measured_ms = Some(ms(self.clock.elapsed()));
        }
    }

    /// The same, where the stages until the one with this name ran elsewhere: their times are added.
    pub fn recovered_after(&mut self, last: &str) {
        let stages = &self.report.stages;
        let end = stages.iter().position(|stage| stage.name == last).map_or(stages.len(), |at| at + 1);
        let counted = stages[..end].iter().filter(|stage| stage.in_rto);
        self.report.rto.measured_ms = Some(counted.map(|stage| stage.ms).sum());
    }

    /// Takes over the stages and findings of a part that ran elsewhere, while the last stage waited for it:
    /// their time is no longer counted as that one's.
    pub fn adopt(&mut self, part: Report) {
        let inside: u64 = part.stages.iter().map(|stage| stage.ms).sum();
        if let Some(waited) = self.report.stages.last_mut() {
            waited.ms = waited.ms.saturating_sub(inside);
        }
        for stage in part.stages {
            self.say_stage(&stage);
            self.report.stages.push(stage);
        }
        let report = &mut self.report;
        report.findings.extend(part.findings);
        report.baseline = report.baseline.take().or(part.baseline);
        report.changes.extend(part.changes);
        report.integrity = report.integrity.take().or(part.integrity);
        report.restore_answer = report.restore_answer.take().or(part.restore_answer);
        report.traffic = report.traffic.take().or(part.traffic);
        report.transactions.extend(part.transactions);
        if !part.checks.is_empty() {
            (report.checks, report.summary) = (part.checks, part.summary);
        }
        if part.unknown != Unknowns::default() {
            report.unknown = part.unknown;
        }
    }

    /// Two drills print at a time: then each line says whose it is.
    fn whose(&self) -> String {
        match (&self.setup.tenant, self.setup.plan.only_tenant()) {
            (Some(tenant), None) => format!("{tenant}: "),
            _ => String::new(),
        }
    }

    fn record(
        &mut self,
        name: &str,
        state: State,
        took: Duration,
        note: String,
        (in_rto, exercised): (bool, bool),
    ) {
        let (name, ms) = (name.to_owned(), ms(took));
        let stage = StageRecord { name, state, ms, note, in_rto, exercised };
        self.say_stage(&stage);
        self.report.stages.push(stage);
    }

    fn say_stage(&self, stage: &StageRecord) {
        let sign = match stage.state {
            State::Done | State::NotRun => "",
            State::Failed => "FAILED: ",
            State::Unknown => "ERROR: ",
        };
        let (of, took) = (self.whose(), clock::span_text(Duration::from_millis(stage.ms)));
        say::indented(&format!("  {:<12}{took:>12}  {of}{sign}{}", stage.name, stage.note), STAGE_NOTE);
    }

    /// Judges, and says what of the stages and parts of a drill was not reached.
    pub fn end(mut self, names: &[&str], parts: &[&str]) -> Report {
        let of = self.whose();
        let report = &mut self.report;
        for (at, &name) in names.iter().enumerate() {
            if !report.stages.iter().any(|stage| stage.name == name) {
                let stage = StageRecord {
                    name: name.to_owned(),
                    state: State::NotRun,
                    ms: 0,
                    note: NOT_REACHED.to_owned(),
                    in_rto: name != TEAR_DOWN,
                    exercised: false,
                };
                report.stages.insert(at.min(report.stages.len()), stage);
            }
        }
        for &part in parts {
            if !report.findings.iter().any(|finding| finding.part == part) {
                report.findings.push(Finding::new(part, State::NotRun, NOT_REACHED));
            }
        }
        report.coverage = Coverage::of(parts, &report.findings);
        (report.verdict, report.reasons) = verdict::judge(&report.findings, report.rpo, report.rto);
        report.exit_code = report.verdict.exit_code();
        tenants::finish(report);
        report.ended = clock::now();
        say_result(report, &of);
        self.report
    }
}

fn say_result(report: &Report, whose: &str) {
    for reason in &report.reasons {
        say::line(&format!("  - {whose}{reason}"));
    }
    let of = |name: &str, measure: Measure| {
        let measured = measure.measured_ms.map_or_else(|| "not measured".to_owned(), verdict::span);
        match measure.objective_ms {
            Some(objective) => format!("{name} {measured} (objective {})", verdict::span(objective)),
            None => format!("{name} {measured} (no objective)"),
        }
    };
    say::line(&format!(
        "{whose}{}   {}   {}   {} exercised",
        report.verdict.words(),
        of("RPO", report.rpo),
        of("RTO", report.rto),
        report.coverage.text()
    ));
}
