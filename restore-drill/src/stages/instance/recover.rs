//! Runs the shipped `lifeboat restore --instance-to`, as a person with the runbook would, until the server
//! has reached the target.

use lifeboat::clock::span_text;
use lifeboat::error::{Error, Kind, Result};
use serde_json::Value;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::drill::stage::{Stage, Stop};
use crate::place::local::site::Site;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::setup::{Setup, Whole};
use crate::shipped::{answer, kind, lifeboat};
use crate::snapshot::{Replay, Snapshot};
use crate::stages::restore::{ARCHIVE, LIMIT, because};
use crate::{process, say};

/// The restore of the instance into the empty data directory of the place.
pub struct Recover<'a> {
    /// The program and the configuration of a restore host.
    pub setup: &'a Setup,
    /// Where to.
    pub site: &'a Site,
    /// The base backup, and the point to which it is replayed.
    pub snapshot: &'a Snapshot,
    /// Its tablespaces.
    pub whole: &'a Whole,
    /// Asks the program to stop.
    pub cancel: &'a CancellationToken,
}

/// A database whose indexes are sorted as on another host, and why.
pub type Sorted = Vec<(String, String)>;

impl Stage for Recover<'_> {
    const NAME: &'static str = "restore";
    const STOP: Stop = Stop::ByItself;
    type Output = Sorted;

    async fn run(self, report: &mut Report) -> Result<(Sorted, String)> {
        let on_line = |line: &str| say::indented(&format!("  | {line}"), 18);
        let (stopped, name) = (self.cancel.cancelled(), "lifeboat restore");
        let ended = process::run_heard(&mut command(&self), name, LIMIT, stopped, on_line).await?;
        let told = answer(&ended.stdout);
        let incomplete = ended.status.code() == Some(i32::from(Kind::Incomplete.exit_code()));
        let Some(told) = told.filter(|_| ended.is_success() || incomplete) else {
            let failed = Error::new(kind(ended.status.code()), format!("{name} ended with {}", ended.how()));
            return Err(because(failed, answer(&ended.stdout).as_ref(), &ended));
        };
        let texts = |path: &str| -> Vec<String> {
            let all = told.pointer(path).and_then(Value::as_array).into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let lacks = texts("/restored/plan/source/lacks");
        for lack in &lacks {
            report.findings.push(Finding::new(ARCHIVE, State::Failed, format!("it lacks {lack}")));
        }
        if lacks.is_empty() {
            report.findings.push(Finding::new(ARCHIVE, State::Done, "restored and recovered"));
        }
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("?").to_owned();
        let rebuild = told.pointer("/started/rebuild").and_then(Value::as_array);
        let sorted =
            rebuild.into_iter().flatten().map(|one| (text(one, "database"), text(one, "why"))).collect();
        let note = note(&told);
        report.restore_answer = Some(told);
        Ok((sorted, note))
    }
}

fn note(told: &Value) -> String {
    let started = &told["started"];
    let seconds = started["seconds"].as_f64().filter(|seconds| (0.0..1e9).contains(seconds)).unwrap_or(0.0);
    format!(
        "{} files, replayed to {} in {}, last commit {}",
        told.pointer("/restored/plan/files").and_then(Value::as_u64).unwrap_or_default(),
        started["replayed_to"].as_str().unwrap_or("?"),
        span_text(std::time::Duration::from_secs_f64(seconds)),
        started["last_commit"].as_str().unwrap_or("none since the backup")
    )
}

/// The command line of the restore.
fn command(order: &Recover<'_>) -> Command {
    let site = order.site;
    let mut command = lifeboat(order.setup, &site.room, "restore");
    command.arg("--instance-to").arg(site.pg());
    match order.snapshot.replayed_to {
        Some(Replay::Time(time)) => command.args(["--to-time", &time.to_string()]),
        Some(Replay::Lsn { lsn, .. }) => command.args(["--to-lsn", &lsn.to_string()]),
        Some(Replay::Latest) | None => command.args(["--to", "latest"]),
    };
    for (number, old) in order.whole.tablespaces.iter().enumerate() {
        let new = site.tablespace(number);
        command.arg("--tablespace-map").arg(format!("{old}={}", new.display()));
    }
    command.args(["--start", "--yes", "--json"]);
    command
}
