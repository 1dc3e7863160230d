//! The report of a drill: all findings, in a form for machines. `markdown` renders it for people; both
//! have the same content.

use lifeboat::archive::drill::Stored;
use lifeboat::clock::Timestamp;
use lifeboat::names::TenantName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::Severity;
use crate::run_checks::{Outcome, Status};
use crate::snapshot::Snapshot;
use crate::stages::integrity::Integrity;
use crate::stages::restore::Baseline;
use crate::verdict::{Measure, Verdict};

/// The name of this schema.
pub const SCHEMA: &str = "lifeboat-drill-report";
/// Its version: it changes if a key changes its meaning or is removed; new keys may be added.
pub const SCHEMA_VERSION: u32 = 1;

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
    /// The plan's file.
    pub plan: String,
    /// The tenant.
    pub tenant: TenantName,
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
    /// Data loss: from the snapshot's point to the beginning of the drill.
    pub rpo: Measure,
    /// Time to recover: from the beginning of the drill to the last check.
    pub rto: Measure,
    /// The restored snapshot; absent if none was found.
    pub snapshot: Option<Snapshot>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// The comparison with the baseline of the backup.
    pub baseline: Option<Baseline>,
    /// Files and indexes.
    pub integrity: Option<Integrity>,
    /// The outcome of every check.
    pub checks: Vec<Outcome>,
    /// The number of checks by outcome.
    pub summary: Summary,
    /// What was not checked, and why.
    pub not_checked: Vec<NotChecked>,
    /// The unchanged output of `lifeboat restore --json`.
    pub restore_answer: Option<Value>,
    /// The scratch directory, if it is kept.
    pub kept: Option<String>,
    /// The report's place and its other files, after it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageStatus {
    /// It finished; its findings are elsewhere in the report.
    Done,
    /// It ended with an error.
    Error,
    /// It did not begin, because an earlier one failed.
    NotRun,
}

/// One stage and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// As in `restore`.
    pub name: String,
    /// How it ended.
    pub status: StageStatus,
    /// How long it took.
    pub ms: u64,
    /// What it did, in one line, or its error.
    pub note: String,
    /// Whether its time counts for the RTO.
    pub in_rto: bool,
}

/// Something that was not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// What.
    pub what: String,
    /// The reason.
    pub why: String,
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
}

/// What a drill with these results did not check. It is always listed, so that nobody overestimates a drill.
pub fn not_checked(
    snapshot: Option<&Snapshot>,
    integrity: Option<&Integrity>,
    baseline: Option<&Baseline>,
    outcomes: &[Outcome],
) -> Vec<NotChecked> {
    let mut list = Vec::new();
    let mut add = |what: &str, why: String| list.push(NotChecked { what: what.to_owned(), why });
    match integrity {
        None => add("files of attachments, tables and indexes", "the drill ended before this".to_owned()),
        Some(found) => {
            if let Some(why) = &found.amcheck_skipped {
                add("tables and indexes below SQL (amcheck)", why.clone());
            }
            if found.missing_known > 0 {
                let why = "the snapshot says that it does not contain them".to_owned();
                add(&format!("{} files that attachments name", found.missing_known), why);
            }
        }
    }
    let is_dump = |snapshot: &Snapshot| snapshot.replayed_to.is_none();
    if snapshot.is_some_and(|snapshot| is_dump(snapshot) && snapshot.filestore.is_none()) {
        add("the filestore as a whole", "the snapshot contains the database only".to_owned());
    }
    if baseline.is_none() {
        let why = "the restore did not report a comparison".to_owned();
        add("rows, highest ids and last writes of every table against the source", why);
    }
    if outcomes.is_empty() {
        add("all business checks", "the drill ended before this".to_owned());
    }
    for outcome in outcomes {
        if let (Status::Skipped | Status::Error, Some(why)) = (outcome.status, &outcome.message) {
            let what = format!("check {} ({}): {}", outcome.id, outcome.severity, outcome.title);
            add(&what, why.clone());
        }
    }
    if outcomes.iter().any(|outcome| outcome.severity == Severity::Base) {
        let why = "the snapshot does not record these counts, so they are only reported".to_owned();
        add("whether base checks find as many violations here as on the source", why);
    }
    let why = "Odoo was not started: no order, delivery, invoice or payment was created".to_owned();
    add("business transactions", why);
    list
}
