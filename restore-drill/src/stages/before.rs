//! Compares the state with the tenant's dump before it: what is consistent and gone shows nowhere else.

use std::time::Duration;

use lifeboat::error::{Kind, Result};
use lifeboat::odoo::changes::{About, Change, Weight};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::drill::stage::{Stage, Stop};
use crate::place::{DATABASE, Room};
use crate::process;
use crate::report::Report;
use crate::report::finding::{Finding, State, shortened};
use crate::setup::{Chosen, Setup};
use crate::shipped::{answer, lifeboat};

/// The part of a drill that compares with the backup before.
pub const BEFORE: &str = "backup before";
const LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Losses that become findings of their own.
const LOST_MAX: usize = 50;
const CHARS_MAX: usize = 300;

/// `lifeboat diff` of the dump before, and of what is drilled.
pub struct Before<'a> {
    /// The program, the configuration and the identities.
    pub setup: &'a Setup,
    /// Where the tenant is.
    pub room: &'a Room,
    /// What is drilled, and the dump before.
    pub chosen: &'a Chosen,
    /// Asks the program to stop.
    pub cancel: &'a CancellationToken,
}

/// What the program prints.
#[derive(Deserialize)]
struct Told {
    changes: Vec<Change>,
    #[serde(default)]
    not_compared: Vec<String>,
}

impl Stage for Before<'_> {
    const NAME: &'static str = "before";
    const STOP: Stop = Stop::ByItself;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Before { setup, room, chosen, cancel } = self;
        let not_run = |report: &mut Report, why: String| {
            report.findings.push(Finding::new(BEFORE, State::NotRun, why.clone()));
            Ok(((), why))
        };
        let Some(before) = &chosen.before else {
            return not_run(report, "no older dump of this tenant is stored".to_owned());
        };
        let is_dump = chosen.snapshot.replayed_to.is_none();
        let mut command = lifeboat(setup, room, "diff");
        command.arg(before.as_str());
        // What a dump recorded is what was restored: that was compared. Of a point nothing was recorded.
        match is_dump {
            true => command.arg(chosen.snapshot.id.as_str()),
            false => command.args(["--database", DATABASE]),
        };
        command.arg("--json");
        let stopped = cancel.cancelled();
        let ended = process::run_heard(&mut command, "lifeboat diff", LIMIT, stopped, |_| {}).await?;
        let compared =
            ended.is_success() || ended.status.code() == Some(i32::from(Kind::Incomplete.exit_code()));
        let told: Option<Told> = answer(&ended.stdout).and_then(|told| serde_json::from_value(told).ok());
        let Some(Told { mut changes, not_compared }) = told.filter(|_| compared) else {
            let why = shortened(&ended.last_words().replace('\n', " | "), CHARS_MAX);
            return not_run(report, format!("lifeboat diff ended with {}: {why}", ended.how()));
        };
        if !is_dump {
            // Neutralizing changed values, and for that it was done.
            changes.retain(|change| change.about != About::Values);
        }
        let count = |weight| changes.iter().filter(|change| change.weight == weight).count();
        let (lost, changed) = (count(Weight::Lost), count(Weight::Changed));
        for change in changes.iter().filter(|change| change.weight == Weight::Lost).take(LOST_MAX) {
            let what = shortened(&format!("since {before}: {change}"), CHARS_MAX);
            report.findings.push(Finding::new(BEFORE, State::Failed, what));
        }
        if lost == 0 {
            let what = format!("nothing is lost since {before}; {changed} changes to confirm");
            report.findings.push(Finding::new(BEFORE, State::Done, what));
        }
        for what in not_compared {
            report.findings.push(Finding::new(BEFORE, State::NotRun, format!("{what}: not recorded then")));
        }
        changes.retain(|change| change.weight > Weight::Grown);
        report.changes = changes;
        Ok(((), format!("{lost} losses and {changed} changes since {before}")))
    }
}
