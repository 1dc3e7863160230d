//! `lifeboat doctor`: whether this host can do what its configuration says, check by check.

use serde::Serialize;

use super::commands::runnable;
use super::{App, Done};
use crate::error::{Error, Result};

mod dump;
mod host;
mod keys;
mod libpq;
mod owners;
mod readable;
mod repository;
mod server;

/// Check configuration, keys, host, repository and server, and say what to correct
///
/// Looks, and changes nothing: it writes and removes one empty file in the state directory and, on
/// a host that backs up, one object of a byte in the repository. Exits 0 when nothing failed
/// (there may be things to know about), and 3 when something did.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat doctor
  lifeboat doctor --json | jq '.checks[] | select(.status != \"ok\")'")]
pub struct Args {}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it must be.
    Ok,
    /// It works, and somebody should know this.
    Warn,
    /// It will not work.
    Fail,
    /// Nobody looked, because of something before it: never to be read as ok.
    NotChecked,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    name: &'static str,
    status: Status,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Check {
    /// As it must be.
    pub fn ok(name: &'static str, text: impl Into<String>) -> Check {
        Check { name, status: Status::Ok, text: text.into(), next: None }
    }

    /// It works, and somebody should know this and do that.
    pub fn warn(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
        Check { name, status: Status::Warn, text: text.into(), next: Some(next.into()) }
    }

    /// It will not work, until that is done.
    pub fn fail(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
        Check { name, status: Status::Fail, text: text.into(), next: Some(next.into()) }
    }

    /// It will not work, for the reasons of an error.
    pub fn error(name: &'static str, error: &Error) -> Check {
        let mut text = error.what().to_owned();
        for cause in error.causes() {
            text.push_str(&format!(": {cause}"));
        }
        Check { name, status: Status::Fail, text, next: error.next_text().map(str::to_owned) }
    }

    /// Nobody looked, because of that.
    pub fn not_checked(name: &'static str, why: impl Into<String>) -> Check {
        Check { name, status: Status::NotChecked, text: why.into(), next: None }
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

/// Runs every check and prints how each came out.
pub async fn run(_: Args, app: &App) -> Result<Done> {
    let mut checks = examine(app).await;
    for next in checks.iter_mut().filter_map(|check| check.next.as_mut()) {
        *next = runnable(next);
    }
    let failed = checks.iter().any(|check| check.status == Status::Fail);
    let report = Report { ok: !failed, checks };
    app.print(&report, || text(&report))?;
    Ok(if failed { Done::Incomplete } else { Done::Complete })
}

async fn examine(app: &App) -> Vec<Check> {
    let mut checks = vec![host::clock()];
    let config = match app.config() {
        Err(error) => {
            checks.push(Check::error("configuration", &error));
            checks.push(Check::not_checked("everything else", "it needs the configuration"));
            return checks;
        }
        Ok(config) => config,
    };
    let place = match config.file.as_os_str().is_empty() {
        true => "flags and environment, no file".to_owned(),
        false => config.file.display().to_string(),
    };
    let text = format!("{place}: instance {}, repository {}", config.instance, config.repository.url);
    checks.push(Check::ok("configuration", text));
    checks.extend(keys::checks(&config));
    checks.extend(host::checks(&config));
    checks.extend(repository::checks(&config).await);
    checks.extend(libpq::check());
    checks.extend(server::checks(&config).await);
    checks
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
            Status::NotChecked => "?",
        };
        text.push_str(&format!("{status:<5} {:<16} {}\n", check.name, check.text));
        if let Some(next) = &check.next {
            text.push_str(&format!("{:22} next: {next}\n", ""));
        }
    }
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    let (ok, warn, fail) = (count(Status::Ok), count(Status::Warn), count(Status::Fail));
    text.push_str(&format!("{ok} ok, {warn} warnings, {fail} failed"));
    match count(Status::NotChecked) {
        0 => {}
        unknown => text.push_str(&format!(", {unknown} not checked")),
    }
    text
}
