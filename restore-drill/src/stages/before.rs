//! Compares the state with the tenant's dump before it: what is consistent and gone shows nowhere else.

use std::time::Duration;

use lifeboat::clock;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::odoo::changes::{Change, Weight};
use lifeboat::odoo::neutralize::Touched;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::drill::stage::{Stage, Stop};
use crate::place::{DATABASE, Room};
use crate::plan::accept::Acceptance;
use crate::process;
use crate::report::Report;
use crate::report::finding::{Finding, State, shortened};
use crate::setup::{Chosen, Setup};
use crate::shipped::{answer, kind, lifeboat};

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
    /// How many losses the plan accepts.
    pub accepted: Option<&'a Acceptance>,
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
    const IN_RTO: bool = false;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Before { setup, room, chosen, accepted, cancel } = self;
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
            return Err(Error::new(
                kind(ended.status.code()),
                format!("lifeboat diff ended with {}", ended.how()),
            )
            .because(why));
        };
        if !is_dump {
            let left_out = Touched::by_neutralizing();
            changes.retain(|change| !left_out.has(&change.what));
            let what = "database.uuid, and the values that neutralizing changes: they were not compared";
            report.findings.push(Finding::new(BEFORE, State::NotRun, what));
        }
        let count = |weight| changes.iter().filter(|change| change.weight == weight).count();
        let (lost, changed) = (count(Weight::Lost), count(Weight::Changed));
        let refused = accepted.map(|known| known.refuses(lost as u64, clock::now()));
        let state = if matches!(refused, Some(None)) { State::Done } else { State::Failed };
        for change in changes.iter().filter(|change| change.weight == Weight::Lost).take(LOST_MAX) {
            let known = match (state, accepted, &refused) {
                (State::Done, Some(known), _) => format!(" (accepted: {})", known.reason),
                (_, _, Some(Some(why))) => format!(" ({why})"),
                _ => String::new(),
            };
            let what = shortened(&format!("since {before}: {change}"), CHARS_MAX);
            report.findings.push(Finding::new(BEFORE, state, what + &known));
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
