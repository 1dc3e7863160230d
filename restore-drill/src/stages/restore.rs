//! Runs the shipped `lifeboat restore` as a child process, as a person with the runbook would. The drill
//! proves that program and shares none of its restoring code.

use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::TenantName;
use lifeboat::names::wal::TimelineId;
use serde_json::Value;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::drill::stage::{Stage, Stop};
use crate::place::{DATABASE, OWNER, Room};
use crate::process::Ended;
use crate::report::Report;
use crate::report::baseline::Baseline;
use crate::report::finding::{Finding, State};
use crate::setup::Setup;
use crate::shipped::{answer, kind, lifeboat};
use crate::snapshot::{Replay, Snapshot};
use crate::{process, say};

/// The part of a drill that the restore itself exercises.
pub const ARCHIVE: &str = "archive";
/// The comparison with what was recorded when the backup was taken.
pub const BASELINE: &str = "baseline";

/// The time limit of a restore: a longer one hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(7 * 86_400);

/// The restore of the chosen snapshot into the room.
pub struct Restore<'a> {
    /// The program `lifeboat`, the configuration of a restore host, and the tenant.
    pub setup: &'a Setup,
    /// Where to.
    pub room: &'a Room,
    /// The snapshot, and the point to which it is replayed.
    pub snapshot: &'a Snapshot,
    /// Asks the program to stop.
    pub cancel: &'a CancellationToken,
}

impl Stage for Restore<'_> {
    const NAME: &'static str = "restore";
    const STOP: Stop = Stop::ByItself;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let on_line = |line: &str| say::indented(&format!("  | {line}"), 18);
        let restored = restore(&self, on_line).await?;
        report.findings.push(Finding::new(ARCHIVE, State::Done, "restored"));
        let finding = match &restored.baseline {
            None => {
                let what = "the restore reported no comparison with the baseline of the backup";
                Finding::new(BASELINE, State::Unknown, what)
            }
            Some(Baseline { differences_count: 0, tables, .. }) => {
                let tables = tables.map_or_else(String::new, |tables| format!(" in {tables} tables"));
                Finding::new(BASELINE, State::Done, format!("no differences{tables}"))
            }
            Some(baseline) => Finding::new(BASELINE, State::Failed, baseline.text()),
        };
        let mut note = match &restored.baseline {
            Some(baseline) => {
                format!("{} differences from the baseline of the backup", baseline.differences_count)
            }
            None => "restored, but lifeboat reported no comparison with the baseline".to_owned(),
        };
        report.findings.push(finding);
        for view in &restored.not_filled {
            note.push_str(&format!("; {view}"));
        }
        report.baseline = restored.baseline;
        report.restore_answer = Some(restored.answer);
        Ok(((), note))
    }
}

/// What a restore reported.
struct Restored {
    /// The comparison with the baseline of the backup; `None` if it reported none.
    baseline: Option<Baseline>,
    /// Materialized views that could not be filled: a drill cannot reach other systems.
    not_filled: Vec<String>,
    /// Everything that it printed with `--json`.
    answer: Value,
}

/// The command line of the restore.
fn command(order: &Restore<'_>) -> Command {
    let room = order.room;
    let mut command = lifeboat(order.setup, room, "restore");
    command.arg("--tenant").args(order.setup.tenant.as_ref().map(TenantName::as_str));
    match order.snapshot.replayed_to {
        // As a rollback does: which base backup leads there, the restore decides.
        Some(Replay::Lsn { lsn, timeline }) => {
            command.args(["--to-lsn".to_owned(), lsn.to_string()]);
            command.args(["--timeline".to_owned(), TimelineId(timeline).in_names()])
        }
        Some(Replay::Time(time)) => command.args(["--to-time", &time.to_string()]),
        Some(Replay::Latest) => command.args(["--to", "latest"]),
        None => command.args(["--snapshot", order.snapshot.id.as_str()]),
    };
    command.args(["--as", DATABASE]).arg("--data-dir").arg(&room.data_dir);
    command.args(["--owner", OWNER, "--neutralize", "--yes", "--json"]);
    // The source's tablespaces do not exist here; what cannot be created is a finding, and the rest is
    // checked.
    command.args(["--no-tablespaces", "--partial"]);
    command
}

/// Runs the program; `on_line` is called for each line that it prints for people. When cancelled, it asks the
/// program to stop and waits for it.
async fn restore(order: &Restore<'_>, on_line: impl FnMut(&str) + Send) -> Result<Restored> {
    let stopped = order.cancel.cancelled();
    let mut command = command(order);
    let ended = process::run_heard(&mut command, "lifeboat restore", LIMIT, stopped, on_line).await?;
    let answer = answer(&ended.stdout);
    let incomplete = ended.status.code() == Some(i32::from(Kind::Incomplete.exit_code())) && answer.is_some();
    if ended.is_success() || incomplete {
        let answer = answer.ok_or_else(|| {
            Error::new(Kind::Internal, "lifeboat restore printed no JSON although it exited with 0")
                .effect("it is unknown whether it compared with the baseline")
        })?;
        let not_filled = not_made(&answer, true);
        return Ok(Restored { baseline: baseline(&answer), not_filled, answer });
    }
    let what = format!("lifeboat restore ended with {}", ended.how());
    let failed = Error::new(kind(ended.status.code()), what);
    let failed = match ended.status.code() {
        Some(code) if code == i32::from(Kind::Identity.exit_code()) => {
            failed.next("set seal.identity_files in the configuration that the plan names")
        }
        _ => failed,
    };
    Err(because(failed, answer.as_ref(), &ended))
}

/// The error of a restore, with the reason that the program gave.
pub(super) fn because(failed: Error, answer: Option<&Value>, ended: &Ended) -> Error {
    match answer.and_then(error_of) {
        Some((why, next)) => match next {
            Some(next) => failed.because(why).next(next),
            None => failed.because(why),
        },
        None => failed.because(ended.last_words()),
    }
}

/// What broke, with its causes, and what to do next: the error of the answer.
fn error_of(answer: &Value) -> Option<(String, Option<String>)> {
    let error = answer.get("error")?;
    let mut why = error.get("what")?.as_str()?.to_owned();
    for cause in error.get("causes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        why.push_str(": ");
        why.push_str(cause);
    }
    Some((why, error.get("next").and_then(Value::as_str).map(str::to_owned)))
}

/// What should have been created but was not, as sentences: the content of materialized views, or
/// everything else.
fn not_made(answer: &Value, derived: bool) -> Vec<String> {
    let all = answer.get("not_made").and_then(Value::as_array).into_iter().flatten();
    let is = |left: &Value, field: &str| left.get(field).and_then(Value::as_bool) == Some(true);
    let text = |left: &Value, field: &str| left.get(field).and_then(Value::as_str).unwrap_or("?").to_owned();
    all.filter(|left| is(left, "failed") && is(left, "derived") == derived)
        .map(|left| format!("{} was not created: {}", text(left, "what"), text(left, "why")))
        .collect()
}

/// `{"baseline": {"tables": 481, "differences": ["…"]}}` of the answer, and what was not created. Without
/// the list nothing was compared, which is not the same as no difference.
fn baseline(answer: &Value) -> Option<Baseline> {
    let differences = answer.pointer("/baseline/differences")?.as_array()?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let differences: Vec<String> = differences.iter().map(text).chain(not_made(answer, false)).collect();
    Some(Baseline::of(answer.pointer("/baseline/tables").and_then(Value::as_u64), differences))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_a_baseline_is_not_a_baseline_without_differences() {
        let of = |text: &str| baseline(&serde_json::from_str(text).unwrap());
        assert_eq!(of("{}"), None);
        assert_eq!(of("{\"baseline\": null}"), None);
        let clean = of("{\"baseline\": {\"tables\": 481, \"differences\": []}}").unwrap();
        assert_eq!((clean.tables, clean.differences_count), (Some(481), 0));
        assert_eq!(
            of("{\"baseline\": {\"differences\": [\"x\", {\"y\": 1}]}}").unwrap().differences_count,
            2
        );
        let made = "{\"baseline\": {\"differences\": []}, \"not_made\": [\
            {\"what\": \"INDEX i\", \"why\": \"no\", \"failed\": true, \"derived\": false}, \
            {\"what\": \"view\", \"why\": \"far\", \"failed\": true, \"derived\": true}, \
            {\"what\": \"owner\", \"why\": \"x\", \"failed\": false, \"derived\": false}]}";
        assert_eq!(of(made).unwrap().differences, ["INDEX i was not created: no"]);
        assert_eq!(not_made(&serde_json::from_str(made).unwrap(), true), ["view was not created: far"]);
    }
}
