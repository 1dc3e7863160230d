//! `lifeboat doctor`.

use super::commands::runnable;
use super::screen::{Text, Tone};
use super::{App, Done};
use crate::doctor::{DoctorReport, Outcome, check};
use crate::error::Result;

/// Check configuration, keys, host, repository and server
///
/// Says what to correct and changes nothing: it writes and removes one empty file in the state directory and,
/// on a host that backs up, one object of one byte in the repository; a second one, where objects can be
/// locked, which stays. Exit code 0: nothing failed, although there may be warnings. Exit code 3: a check
/// failed.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat doctor
  lifeboat doctor --json | jq '.checks[] | select(.status != \"ok\")'")]
pub struct Args {}

/// Makes every check and prints the results.
pub async fn run(_: Args, app: &App) -> Result<Done> {
    let mut report = check(app.config()).await;
    for next in report.checks.iter_mut().filter_map(|check| check.next.as_mut()) {
        *next = runnable(next);
    }
    app.print(&report, || text(&report))?;
    Ok(if report.ok { Done::Complete } else { Done::Incomplete })
}

/// The columns at which the text of a check and its next step continue after a line break.
const VALUE: usize = 23;
const NEXT: usize = VALUE + 6;

fn text(report: &DoctorReport) -> Text {
    let mut text = Text::default();
    for check in &report.checks {
        let (tone, status) = match check.status {
            Outcome::Ok => (Tone::Plain, "ok"),
            Outcome::Warn => (Tone::Warning, "WARN"),
            Outcome::Fail => (Tone::Bad, "FAIL"),
            Outcome::NotChecked => (Tone::Warning, "?"),
        };
        let line = text.line(VALUE);
        line.push(tone, status).plain(format!("{:1$}", "", 6 - status.len()));
        line.plain(format!("{:<16} {}", check.name, check.text));
        if let Some(next) = &check.next {
            text.line(NEXT).plain(format!("{:VALUE$}next: {next}", ""));
        }
    }
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    let (ok, warn, fail) = (count(Outcome::Ok), count(Outcome::Warn), count(Outcome::Fail));
    let last = text.line(0).plain(format!("{ok} ok, {warn} warnings, {fail} failed"));
    let unknown = count(Outcome::NotChecked);
    if unknown > 0 {
        last.plain(format!(", {unknown} not checked"));
    }
    text
}
