//! `lifeboat doctor`.

use super::commands::runnable;
use super::{App, Done};
use crate::doctor::{DoctorReport, Outcome, check};
use crate::error::Result;

/// Check configuration, keys, host, repository and server
///
/// Says what to correct and changes nothing: it writes and removes one empty file in the state directory and, on a host that backs up,
/// one object of one byte in the repository. Exit code 0: nothing failed, although there may be warnings.
/// Exit code 3: a check failed.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat doctor
  lifeboat doctor --json | jq '.checks[] | select(.status != \"ok\")'")]
pub struct Args {}

/// Makes every check and prints how each came out.
pub async fn run(_: Args, app: &App) -> Result<Done> {
    let mut report = check(app.config()).await;
    for next in report.checks.iter_mut().filter_map(|check| check.next.as_mut()) {
        *next = runnable(next);
    }
    app.print(&report, || text(&report))?;
    Ok(if report.ok { Done::Complete } else { Done::Incomplete })
}

fn text(report: &DoctorReport) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let status = match check.status {
            Outcome::Ok => "ok",
            Outcome::Warn => "WARN",
            Outcome::Fail => "FAIL",
            Outcome::NotChecked => "?",
        };
        text.push_str(&format!("{status:<5} {:<16} {}\n", check.name, check.text));
        if let Some(next) = &check.next {
            text.push_str(&format!("{:22} next: {next}\n", ""));
        }
    }
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    let (ok, warn, fail) = (count(Outcome::Ok), count(Outcome::Warn), count(Outcome::Fail));
    text.push_str(&format!("{ok} ok, {warn} warnings, {fail} failed"));
    match count(Outcome::NotChecked) {
        0 => {}
        unknown => text.push_str(&format!(", {unknown} not checked")),
    }
    text
}
