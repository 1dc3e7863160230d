//! Runs a drill from beginning to end: the stages in order, each timed. The scratch place is always
//! removed, and there is always a report at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::random_hex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::report::{self, Report, Stage, StageStatus, Summary};
use crate::run_checks::{Outcome, Status};
use crate::setup::{Chosen, Setup};
use crate::stages::integrity::Integrity;
use crate::stages::restore::{Baseline, Order};
use crate::stages::scratch::Scratch;
use crate::verdict::{self, Facts, Measure, StageError, Verdict};
use crate::{say, steps};

/// Runs a drill. `chosen` finds the snapshot; its time counts like the rest. When cancelled, the drill
/// stops, removes the scratch place and returns its report.
pub async fn run(
    setup: &Setup,
    chosen: impl Future<Output = Result<Chosen>>,
    cancel: &CancellationToken,
) -> Report {
    let begun = clock::now();
    let id = format!("{}-drill-{}", begun.strftime("%Y%m%dT%H%M%SZ"), random_hex(4));
    say::line(&format!("drill {id}: tenant {}", setup.plan.tenant));
    let mut drill = Drill::new(setup, cancel, id, begun);
    drill.all(chosen).await;
    drill.report()
}

struct Drill<'a> {
    setup: &'a Setup,
    cancel: &'a CancellationToken,
    id: String,
    begun: Timestamp,
    clock: Instant,
    stages: Vec<Stage>,
    errors: Vec<StageError>,
    chosen: Option<Chosen>,
    answer: Option<Value>,
    baseline: Option<Baseline>,
    integrity: Option<Integrity>,
    outcomes: Vec<Outcome>,
    rto_ms: Option<u64>,
    kept: Option<String>,
}

/// What happens to a stage when the drill is cancelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It is dropped at once.
    Drop,
    /// It ends by itself, soon or because it was told to: if it were dropped, it would leave data or
    /// processes.
    ByItself,
}

impl<'a> Drill<'a> {
    fn new(setup: &'a Setup, cancel: &'a CancellationToken, id: String, begun: Timestamp) -> Drill<'a> {
        Drill {
            setup,
            cancel,
            id,
            begun,
            clock: clock::instant(),
            stages: Vec::new(),
            errors: Vec::new(),
            chosen: None,
            answer: None,
            baseline: None,
            integrity: None,
            outcomes: Vec::new(),
            rto_ms: None,
            kept: None,
        }
    }

    async fn all(&mut self, chosen: impl Future<Output = Result<Chosen>>) {
        let setup = self.setup;
        self.chosen = self.stage("prepare", Stop::Drop, async { chosen.await.map(steps::told) }).await;
        let snapshot = self.chosen.as_ref().map(|chosen| chosen.snapshot.clone());

        let dir = setup.plan.scratch_dir.join(format!("{}{}", steps::SCRATCH_PREFIX, self.id));
        let scratch = match &snapshot {
            None => self.not_run("scratch"),
            Some(snapshot) => {
                self.stage("scratch", Stop::ByItself, steps::make(&setup.plan, &dir, snapshot)).await
            }
        };
        let place = scratch.as_ref().map(|(scratch, _)| scratch.place().clone());
        let restored = match (&snapshot, &scratch, &place) {
            (Some(snapshot), Some((_, bin_dir)), Some(place)) => {
                let order = Order {
                    program: &setup.program,
                    config: &setup.plan.config,
                    tenant: &setup.plan.tenant,
                    snapshot,
                    identities: &setup.plan.identities,
                    database: steps::DATABASE,
                    bin_dir,
                };
                let cancel = self.cancel;
                let mut restored =
                    self.stage("restore", Stop::ByItself, steps::restore(&order, place, cancel)).await;
                if let (Some(point), Some(restored)) = (&setup.plan.counters, &mut restored) {
                    let compared = steps::compare(place, point, restored);
                    self.stage("counters", Stop::Drop, compared).await;
                }
                restored
            }
            _ => self.not_run("restore"),
        };
        match (&place, &snapshot, restored) {
            (Some(place), Some(snapshot), Some(restored)) => {
                self.baseline = restored.baseline;
                self.answer = Some(restored.answer);
                self.integrity = self.stage("integrity", Stop::Drop, steps::look(place, snapshot)).await;
                let checks = steps::check(place, setup);
                self.outcomes = self.stage("invariants", Stop::Drop, checks).await.unwrap_or_default();
                if self.errors.is_empty() {
                    self.rto_ms = Some(ms(self.clock.elapsed()));
                }
            }
            _ => {
                self.not_run::<()>("integrity");
                self.not_run::<()>("invariants");
            }
        }
        match scratch {
            Some((scratch, _)) => self.tear_down(scratch, &dir).await,
            None => {
                self.not_run::<()>("teardown");
            }
        }
    }

    /// Removes the scratch place; never skipped and never cancelled.
    async fn tear_down(&mut self, scratch: Scratch, dir: &Path) {
        let begun = clock::instant();
        let keep = self.setup.plan.keep;
        let done = scratch.tear_down(keep).await;
        if keep {
            self.kept = Some(dir.display().to_string());
        }
        let note = match keep {
            true => format!("server stopped; {} kept, as requested", dir.display()),
            false => "server stopped, restored data removed".to_owned(),
        };
        self.record("teardown", begun, done.map(|()| note), false);
    }

    async fn stage<T>(
        &mut self,
        name: &str,
        stop: Stop,
        work: impl Future<Output = Result<(T, String)>>,
    ) -> Option<T> {
        if self.cancel.is_cancelled() {
            if self.errors.is_empty() {
                let message = "stopped by a signal before it began".to_owned();
                self.errors.push(StageError { stage: name.to_owned(), message, is_failure: false });
            }
            return self.not_run(name);
        }
        let begun = clock::instant();
        let cancelled = async {
            match stop {
                Stop::Drop => self.cancel.cancelled().await,
                Stop::ByItself => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            result = work => result,
            () = cancelled => Err(Error::new(Kind::Interrupted, "stopped by a signal")),
        };
        let (value, note) = match result {
            Ok((value, note)) => (Some(value), Ok(note)),
            Err(error) => (None, Err(error)),
        };
        self.record(name, begun, note, true);
        value
    }

    fn record(&mut self, name: &str, begun: Instant, note: Result<String>, in_rto: bool) {
        let took = begun.elapsed();
        let (status, note) = match note {
            Ok(note) => (StageStatus::Done, note),
            Err(error) => {
                let message = steps::one_line(&error);
                // Restored data that is not removed breaks the drill's own promise.
                let is_failure =
                    matches!(error.kind(), Kind::Integrity | Kind::Signature) || name == "teardown";
                self.errors.push(StageError { stage: name.to_owned(), message: message.clone(), is_failure });
                (StageStatus::Error, message)
            }
        };
        let sign = if status == StageStatus::Error { "ERROR: " } else { "" };
        say::indented(&format!("  {name:<11}{:>13}  {sign}{note}", clock::span_text(took)), STAGE_NOTE);
        self.stages.push(Stage { name: name.to_owned(), status, ms: ms(took), note, in_rto });
    }

    fn not_run<T>(&mut self, name: &str) -> Option<T> {
        let note = "an earlier stage did not finish".to_owned();
        let in_rto = name != "teardown";
        self.stages.push(Stage { name: name.to_owned(), status: StageStatus::NotRun, ms: 0, note, in_rto });
        None
    }

    fn report(self) -> Report {
        let plan = &self.setup.plan;
        let snapshot = self.chosen.as_ref().map(|chosen| chosen.snapshot.clone());
        // Of a point, only its place in the WAL is known.
        let dump = snapshot.as_ref().filter(|snapshot| snapshot.replayed_to.is_none());
        let age = dump.map(|snapshot| self.begun.duration_since(snapshot.point));
        // A point in the future comes from a source whose clock is ahead: it counts as zero.
        let age = age.map(|age| ms(Duration::try_from(age).unwrap_or_default()));
        let rpo = Measure { objective_ms: plan.rpo.map(ms), measured_ms: age };
        let rto = Measure { objective_ms: plan.rto.map(ms), measured_ms: self.rto_ms };
        let facts = Facts {
            stage_errors: &self.errors,
            integrity: self.integrity.as_ref(),
            baseline: self.baseline.as_ref(),
            outcomes: &self.outcomes,
            rpo,
            rto,
        };
        let (verdict, reasons) = verdict::judge(&facts);
        let mut not_checked = report::not_checked(
            snapshot.as_ref(),
            self.integrity.as_ref(),
            self.baseline.as_ref(),
            &self.outcomes,
        );
        not_checked.extend(self.chosen.into_iter().flat_map(|chosen| chosen.skipped));
        for (outcome, known) in self.outcomes.iter().filter_map(|o| Some((o, o.accepted.as_ref()?))) {
            if outcome.status == Status::Accepted {
                let found = outcome.violations.unwrap_or(0);
                let (id, max, day, why) = (&outcome.id, known.max, known.last_day(), &known.reason);
                say::line(&format!(
                    "  accepted: {id}: {found} violations (at most {max}, until {day}): {why}"
                ));
            }
        }
        say_verdict(verdict, &reasons, rpo, rto);
        Report {
            schema: report::SCHEMA.to_owned(),
            schema_version: report::SCHEMA_VERSION,
            drill: self.id,
            written_by: format!("restore-drill {}", env!("CARGO_PKG_VERSION")),
            plan: plan.file.display().to_string(),
            tenant: plan.tenant.clone(),
            begun: self.begun,
            ended: clock::now(),
            verdict,
            exit_code: verdict.exit_code(),
            reasons,
            rpo,
            rto,
            snapshot,
            stages: self.stages,
            baseline: self.baseline,
            integrity: self.integrity,
            summary: Summary::of(&self.outcomes),
            checks: self.outcomes,
            not_checked,
            restore_answer: self.answer,
            kept: self.kept,
            stored: None,
        }
    }
}

/// The column of a stage's note on the screen.
const STAGE_NOTE: usize = 28;

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn say_verdict(verdict: Verdict, reasons: &[String], rpo: Measure, rto: Measure) {
    for reason in reasons {
        say::line(&format!("  - {reason}"));
    }
    let of = |name: &str, measure: Measure| {
        let measured = measure.measured_ms.map_or_else(|| "not measured".to_owned(), verdict::span);
        match measure.objective_ms {
            Some(objective) => format!("{name} {measured} (objective {})", verdict::span(objective)),
            None => format!("{name} {measured} (no objective)"),
        }
    };
    say::line(&format!("{}   {}   {}", verdict.words(), of("RPO", rpo), of("RTO", rto)));
}
