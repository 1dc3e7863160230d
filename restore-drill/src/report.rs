//! The report of a drill: everything that was found, in a form for machines. `markdown` renders it
//! for people; neither says anything that the other does not.

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
/// Its version: a new one where a key changes its meaning or goes away; new keys may come.
pub const SCHEMA_VERSION: u32 = 1;

/// A drill, whole.
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
    /// Whose data.
    pub tenant: TenantName,
    /// When it began, UTC: the zero of both measures.
    pub begun: Timestamp,
    /// When it ended, UTC, the scratch place torn down.
    pub ended: Timestamp,
    /// What it amounts to.
    pub verdict: Verdict,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// Why, worst first; empty where it passed.
    pub reasons: Vec<String>,
    /// Data loss: from the snapshot's point to the beginning of the drill.
    pub rpo: Measure,
    /// Time to recover: from the beginning of the drill to the last check.
    pub rto: Measure,
    /// What was restored; absent where it was not found.
    pub snapshot: Option<Snapshot>,
    /// What was done, in order.
    pub stages: Vec<Stage>,
    /// The comparison with the baseline of the backup.
    pub baseline: Option<Baseline>,
    /// Files and indexes.
    pub integrity: Option<Integrity>,
    /// The checks, each.
    pub checks: Vec<Outcome>,
    /// How many checks ended how.
    pub summary: Summary,
    /// What the verdict does not rest on, and why.
    pub not_checked: Vec<NotChecked>,
    /// What `lifeboat restore --json` said, as it said it.
    pub restore_answer: Option<Value>,
    /// The scratch directory, where the plan asked to keep it.
    pub kept: Option<String>,
    /// Where the report belongs and what lies beside it, once it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageStatus {
    /// To its end; what it found is elsewhere in the report.
    Done,
    /// With an error.
    Error,
    /// Not begun, since one before it failed.
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
    /// What it did in a line, or its error.
    pub note: String,
    /// Whether its time counts to the RTO.
    pub in_rto: bool,
}

/// Something that was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChecked {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// Numbers of checks of one severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All of them.
    pub all: u64,
    /// Ran and found nothing.
    pub passed: u64,
    /// Hard ones that found violations.
    pub failed: u64,
    /// Hard ones that found no more violations than the plan accepts.
    #[serde(default)]
    pub accepted: u64,
    /// Base and info ones that found some.
    pub noted: u64,
    /// Did not apply.
    pub skipped: u64,
    /// Could not be run to their end.
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
    /// Counts.
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

/// What a verdict on these results does not rest on: always said, so that nobody takes a drill for
/// more than it is.
pub fn not_checked(
    snapshot: Option<&Snapshot>,
    integrity: Option<&Integrity>,
    baseline: Option<&Baseline>,
    outcomes: &[Outcome],
) -> Vec<NotChecked> {
    let mut list = Vec::new();
    let mut add = |what: &str, why: String| list.push(NotChecked { what: what.to_owned(), why });
    match integrity {
        None => add("files of attachments, tables and indexes", "the drill did not get there".to_owned()),
        Some(found) => {
            if let Some(why) = &found.amcheck_skipped {
                add("tables and indexes below SQL (amcheck)", why.clone());
            }
            if found.missing_known > 0 {
                let why = "the snapshot says that it does not hold them".to_owned();
                add(&format!("{} files that attachments name", found.missing_known), why);
            }
        }
    }
    if snapshot.is_some_and(|snapshot| snapshot.filestore.is_none()) {
        add("the filestore as a whole", "the snapshot is of the database alone".to_owned());
    }
    if baseline.is_none() {
        let why = "the restore did not say that it compared them".to_owned();
        add("rows, highest ids and last writes of every table against the source", why);
    }
    if outcomes.is_empty() {
        add("all business checks", "the drill did not get there".to_owned());
    }
    for outcome in outcomes {
        if let (Status::Skipped | Status::Error, Some(why)) = (outcome.status, &outcome.message) {
            let what = format!("check {} ({}): {}", outcome.id, outcome.severity, outcome.title);
            add(&what, why.clone());
        }
    }
    if outcomes.iter().any(|outcome| outcome.severity == Severity::Base) {
        let why = "the snapshot does not record these counts, so they are reported as they are".to_owned();
        add("whether base checks find as much here as on the source", why);
    }
    let why = "Odoo was not started: no order, delivery, invoice or payment was made".to_owned();
    add("business transactions", why);
    list
}
