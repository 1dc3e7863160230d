//! The report of a drill: all findings, in a form for machines. `html`, `markdown` and `junit` render it.

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::drill::Stored;
use lifeboat::archive::evidence::predicate::SnapshotRef;
use lifeboat::archive::evidence::statement::Subject;
use lifeboat::clock::{Timestamp, later};
use lifeboat::names::TenantName;
use lifeboat::odoo::changes::Change;
use lifeboat::odoo::neutralize::Unknowns;
use lifeboat::program::version::COMMIT;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::check::Severity;
use crate::catalogue::run::{Outcome, Status};
use crate::plan::Plan;
use crate::setup::Worst;
use crate::snapshot::{Replay, Snapshot};

pub mod baseline;
pub mod compare;
pub mod controls;
pub mod finding;
pub mod html;
pub mod integrity;
pub mod junit;
pub mod markdown;
pub mod past;
pub mod publish;
pub mod tenants;
pub mod traded;
pub mod verdict;

use baseline::Baseline;
use finding::{Coverage, Finding, State};
use integrity::Integrity;
use past::{Past, Previous};
use tenants::TenantPart;
use traded::{Step, Traffic};
use verdict::{Measure, Verdict, ms};

/// The name of this schema.
pub const SCHEMA: &str = "lifeboat-drill-report";
/// Its version: it changes if a key changes its meaning or is removed; new keys may be added. Since 3, the
/// stored form is an in-toto Statement around it.
pub const SCHEMA_VERSION: u32 = 3;

/// The whole report of a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The drill's name: `<UTC second>-drill-<8 hex digits>`.
    pub drill: String,
    /// Program and version.
    pub written_by: String,
    /// The commit that the program was built from, or `unknown`.
    #[serde(default)]
    pub commit: Option<String>,
    /// The user and host that ran it.
    #[serde(default)]
    pub run_by: Option<String>,
    /// Who approved the drill, as the plan says.
    #[serde(default)]
    pub approved_by: Option<String>,
    /// Who must act on findings, as the plan says.
    #[serde(default)]
    pub owner: Option<String>,
    /// Until when, as the plan says.
    #[serde(default)]
    pub due: Option<Timestamp>,
    /// The plan's file.
    pub plan: String,
    /// Its digest; absent if there is no file.
    #[serde(default)]
    pub plan_sha256: Option<Sha256>,
    /// The tenant; absent if the whole instance was drilled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// When it began (UTC): both measurements start here.
    pub begun: Timestamp,
    /// When it ended (UTC), after the scratch place was removed.
    pub ended: Timestamp,
    /// The result.
    pub verdict: Verdict,
    /// The exit code for the result.
    pub exit_code: u8,
    /// The reasons, worst first; empty if it passed.
    pub reasons: Vec<String>,
    /// Data loss: from the newest state that can be restored to the beginning of the drill; of a dump, from
    /// its point.
    pub rpo: Measure,
    /// The longest time without a new dump of the tenant, as far as dumps are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_worst: Option<Worst>,
    /// Time to recover: from the beginning of the drill to the last check.
    pub rto: Measure,
    /// The number that the random choice of the point follows from: with it, the drill can be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The restored snapshot; absent if none was found.
    pub snapshot: Option<Snapshot>,
    /// It and its files, with the digests of their signed manifests.
    #[serde(default)]
    pub manifests: Vec<SnapshotRef>,
    /// The public keys that it is encrypted to.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// The report of this tenant before this one.
    #[serde(default)]
    pub previous: Option<Previous>,
    /// The drills of this tenant before this one, the newest first.
    #[serde(default)]
    pub history: Vec<Past>,
    /// The newest drill of each other tenant of the instance, the worst first.
    #[serde(default)]
    pub others: Vec<Past>,
    /// How much of a whole drill was exercised.
    pub coverage: Coverage,
    /// The stages, in order.
    pub stages: Vec<StageRecord>,
    /// What they found, in the order in which they found it.
    pub findings: Vec<Finding>,
    /// The tenants of a whole instance, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantPart>,
    /// The comparison with the baseline of the backup.
    pub baseline: Option<Baseline>,
    /// What was lost or changed since earlier dumps, heaviest first.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// What in the copy could act outside, and nobody could judge.
    #[serde(default)]
    pub unknown: Unknowns,
    /// Files and indexes.
    pub integrity: Option<Integrity>,
    /// The outcome of every check.
    pub checks: Vec<Outcome>,
    /// The number of checks by outcome.
    pub summary: Summary,
    /// The steps of the business transactions.
    #[serde(default)]
    pub transactions: Vec<Step>,
    /// What Odoo sent; absent if it was not isolated, or not started.
    #[serde(default)]
    pub traffic: Option<Traffic>,
    /// The unchanged output of `lifeboat restore --json`.
    pub restore_answer: Option<Value>,
    /// The scratch directory, if it is kept.
    pub kept: Option<String>,
    /// The report's place and its other files, after it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

impl Report {
    /// The report of a drill that begins now.
    pub fn new(plan: &Plan, tenant: Option<&TenantName>, drill: String, begun: Timestamp) -> Report {
        let objective = |objective: Option<_>| Measure { objective_ms: objective.map(ms), measured_ms: None };
        Report {
            schema: SCHEMA.to_owned(),
            schema_version: SCHEMA_VERSION,
            drill,
            written_by: format!("restore-drill {}", env!("CARGO_PKG_VERSION")),
            commit: Some(COMMIT.to_owned()),
            run_by: Some(past::this_user()),
            approved_by: plan.approved_by.clone(),
            owner: plan.owner.clone(),
            due: plan.due.map(|due| later(begun, due)),
            plan: plan.file.display().to_string(),
            plan_sha256: plan.sha256,
            tenant: tenant.cloned(),
            begun,
            ended: begun,
            verdict: Verdict::CouldNotRun,
            exit_code: Verdict::CouldNotRun.exit_code(),
            reasons: Vec::new(),
            rpo: objective(plan.rpo),
            rpo_worst: None,
            rto: objective(plan.rto),
            seed: None,
            snapshot: None,
            manifests: Vec::new(),
            recipients: Vec::new(),
            previous: None,
            history: Vec::new(),
            others: Vec::new(),
            coverage: Coverage::default(),
            stages: Vec::new(),
            findings: Vec::new(),
            tenants: Vec::new(),
            baseline: None,
            changes: Vec::new(),
            unknown: Unknowns::default(),
            integrity: None,
            checks: Vec::new(),
            summary: Summary::default(),
            transactions: Vec::new(),
            traffic: None,
            restore_answer: None,
            kept: None,
            stored: None,
        }
    }

    /// What the report is about, for its Statement: the snapshots; where none was found, the plan, and
    /// without a plan's file the drill's own name.
    pub fn subjects(&self) -> Vec<Subject> {
        let mut all: Vec<Subject> =
            self.manifests.iter().map(|one| Subject::sha256(one.id.as_str(), &one.manifest_sha256)).collect();
        if all.is_empty() {
            all.extend(self.plan_sha256.iter().map(|digest| Subject::sha256("plan", digest)));
        }
        if all.is_empty() {
            all.push(Subject::sha256("drill", &Sha256::of(self.drill.as_bytes())));
        }
        all
    }

    /// Every check that ran, after "" or, of a whole instance, after its tenant: "shop: ".
    pub fn all_checks(&self) -> impl Iterator<Item = (String, &Outcome)> {
        let own = self.checks.iter().map(|outcome| (String::new(), outcome));
        own.chain(
            self.tenants
                .iter()
                .flat_map(|part| part.checks.iter().map(|outcome| (format!("{}: ", part.tenant), outcome))),
        )
    }

    /// What was drilled: "tenant shop", "instance prod".
    pub fn drilled(&self) -> String {
        match (&self.tenant, &self.snapshot) {
            (Some(tenant), _) => format!("tenant {tenant}"),
            (None, Some(snapshot)) => format!("instance {}", snapshot.instance),
            (None, None) => "the whole instance".to_owned(),
        }
    }

    /// How to repeat it.
    pub fn retest(&self) -> String {
        let target = match self.snapshot.as_ref().and_then(|snapshot| snapshot.replayed_to) {
            Some(Replay::Time(time)) => format!(" --target {time}"),
            _ => String::new(),
        };
        let tenant = self.tenant.as_ref().map_or_else(String::new, |tenant| format!(" --tenant {tenant}"));
        format!("restore-drill run {}{tenant}{target}", self.plan)
    }
}

/// One stage and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// As in `restore`.
    pub name: String,
    /// How it ended; [`State::NotRun`] if an earlier one did not finish.
    pub state: State,
    /// How long it took.
    pub ms: u64,
    /// What it did, in one line, or its error.
    pub note: String,
    /// Whether its time counts for the RTO.
    pub in_rto: bool,
    /// Whether it exercised anything; a stage may be done, and say that it could not.
    #[serde(default = "yes")]
    pub exercised: bool,
}

fn yes() -> bool {
    true
}

impl StageRecord {
    /// How it is shown: a stage that exercised nothing never looks done.
    pub fn shown(&self) -> State {
        match self.state {
            State::Done if !self.exercised => State::NotRun,
            state => state,
        }
    }
}

/// Numbers of checks of one severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All of them.
    pub all: u64,
    /// They ran and found nothing.
    pub passed: u64,
    /// Hard checks that found violations.
    pub failed: u64,
    /// Hard checks that found no more violations than the plan accepts.
    #[serde(default)]
    pub accepted: u64,
    /// Base and info checks that found violations.
    pub noted: u64,
    /// They did not apply.
    pub skipped: u64,
    /// They could not be run to their end.
    pub error: u64,
}

/// Numbers of checks by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Of severity hard.
    pub hard: Tally,
    /// Of severity base.
    pub base: Tally,
    /// Of severity info.
    pub info: Tally,
}

impl Summary {
    /// Counts the outcomes.
    pub fn of(outcomes: &[Outcome]) -> Summary {
        let mut summary = Summary::default();
        for outcome in outcomes {
            let tally = match outcome.severity {
                Severity::Hard => &mut summary.hard,
                Severity::Base => &mut summary.base,
                Severity::Info => &mut summary.info,
            };
            tally.all += 1;
            *match outcome.status {
                Status::Passed => &mut tally.passed,
                Status::Failed => &mut tally.failed,
                Status::Accepted => &mut tally.accepted,
                Status::Noted => &mut tally.noted,
                Status::Skipped => &mut tally.skipped,
                Status::Error => &mut tally.error,
            } += 1;
        }
        summary
    }

    /// Adds those of another tenant.
    pub fn add(&mut self, other: &Summary) {
        for (own, more) in
            [(&mut self.hard, other.hard), (&mut self.base, other.base), (&mut self.info, other.info)]
        {
            own.all += more.all;
            own.passed += more.passed;
            own.failed += more.failed;
            own.accepted += more.accepted;
            own.noted += more.noted;
            own.skipped += more.skipped;
            own.error += more.error;
        }
    }
}
