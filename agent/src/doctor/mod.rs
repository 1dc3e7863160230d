//! Whether this host can do what its configuration says, check by check. For `lifeboat doctor`, a page or a
//! gate alike.

use serde::Serialize;

use crate::config::Config;
use crate::error::{Error, Result};

mod dump;
mod host;
mod immutable;
mod keys;
mod kubernetes;
mod libpq;
mod owners;
mod readable;
mod repository;
mod server;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it must be.
    Ok,
    /// It works, but somebody should know this.
    Warn,
    /// It will not work.
    Fail,
    /// Not checked, because of an earlier result: this is not ok.
    NotChecked,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What it is about.
    pub name: &'static str,
    /// How it came out.
    pub status: Outcome,
    /// What was found.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Check {
    /// As it must be.
    pub fn ok(name: &'static str, text: impl Into<String>) -> Check {
        Check { name, status: Outcome::Ok, text: text.into(), next: None }
    }

    /// It works, but somebody should know this and do that.
    pub fn warn(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
        Check { name, status: Outcome::Warn, text: text.into(), next: Some(next.into()) }
    }

    /// It will not work, until that is done.
    pub fn fail(name: &'static str, text: impl Into<String>, next: impl Into<String>) -> Check {
        Check { name, status: Outcome::Fail, text: text.into(), next: Some(next.into()) }
    }

    /// It will not work, for the reasons of an error.
    pub fn error(name: &'static str, error: &Error) -> Check {
        let mut text = error.what().to_owned();
        for cause in error.causes() {
            text.push_str(&format!(": {cause}"));
        }
        Check { name, status: Outcome::Fail, text, next: error.next_text().map(str::to_owned) }
    }

    /// Not checked, for this reason.
    pub fn not_checked(name: &'static str, why: impl Into<String>) -> Check {
        Check { name, status: Outcome::NotChecked, text: why.into(), next: None }
    }
}

/// How all of them came out.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// Whether nothing failed.
    pub ok: bool,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

/// Makes every check. It changes nothing: it writes and removes one empty file in the state directory and, on
/// a host that backs up, one object of a byte in the repository. A configuration that cannot be read is the
/// first finding.
pub async fn check(config: Result<Config>) -> DoctorReport {
    let checks = examine(config).await;
    DoctorReport { ok: checks.iter().all(|check| check.status != Outcome::Fail), checks }
}

async fn examine(config: Result<Config>) -> Vec<Check> {
    let mut checks = vec![host::clock()];
    let config = match config {
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
    checks.extend(kubernetes::checks(&config).await);
    checks
}
