//! Whether the promises of the recovery classes are met: whom they cover, whether the schedules can meet the
//! promises, and whether what is stored does. For `lifeboat policy`, a page or a gate alike.
//!
//! What could not be looked at is unknown, and unknown is never ok.

pub mod drift;
mod drilled;
mod measured;
mod scheduled;
mod whom;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{self, Timestamp};
use crate::config::{Config, units};
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName};
use crate::repository::snapshots::Trust;
use measured::Measured;
use whom::Whom;

/// As it is written in a configuration.
fn span(duration: Duration) -> String {
    units::duration_text(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// How one thing came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it is promised.
    Ok,
    /// Met, but somebody should know this.
    Note,
    /// It could not be looked at: this is not ok.
    Unknown,
    /// It falls short of what is promised.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub about: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, and what is promised.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    fn new(about: &'static str, outcome: Outcome, text: impl Into<String>) -> Finding {
        Finding { about, outcome, text: text.into(), next: None }
    }

    fn next(self, next: impl Into<String>) -> Finding {
        Finding { next: Some(next.into()), ..self }
    }

    /// What an error made unknown.
    fn unknown(about: &'static str, what: &str, error: &Error) -> Finding {
        let mut finding = Finding::new(about, Outcome::Unknown, format!("{what}: {}", error.line()));
        finding.next = error.next_text().map(str::to_owned);
        finding
    }
}

/// A tenant that does not have exactly one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unclassed {
    /// Who.
    pub tenant: TenantName,
    /// The classes that cover it equally well; empty if none does.
    pub classes: Vec<String>,
    /// What was found, with the places in the configuration.
    pub text: String,
    /// What to do about it.
    pub next: Option<String>,
}

/// How one class stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassReport {
    /// Its name.
    pub class: String,
    /// Its tenants, by name.
    pub tenants: Vec<TenantName>,
    /// Of these, those whose database no longer exists, or is not backed up any more: only what is stored of
    /// them stays.
    pub dropped: Vec<TenantName>,
    /// What was looked at, in order.
    pub findings: Vec<Finding>,
}

/// How all of them stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyReport {
    /// Whose.
    pub instance: InstanceName,
    /// Where it is stored.
    pub repository: String,
    /// When it was looked at.
    pub now: Timestamp,
    /// Whether nothing falls short, and nothing is unknown.
    pub ok: bool,
    /// What concerns no single class.
    pub findings: Vec<Finding>,
    /// Tenants without a class, or with several.
    pub unclassed: Vec<Unclassed>,
    /// The classes, by name.
    pub classes: Vec<ClassReport>,
}

impl PolicyReport {
    /// Every finding.
    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(self.classes.iter().flat_map(|class| &class.findings))
    }
}

/// Looks. With `stored_only`, the server is not asked which tenants it has. Writes nothing.
///
/// # Errors
/// `Config` if there is no class. If the repository or the server cannot be read, that is a finding.
pub async fn check(config: &Config, trust: &Trust, stored_only: bool) -> Result<PolicyReport> {
    if config.classes.is_empty() {
        return Err(no_class(&config.file));
    }
    let now = clock::now();
    let measured = Measured::take(config, trust, now).await;
    let stored = measured.as_ref().map(Measured::tenants).unwrap_or_default();
    let whom = Whom::find(config, stored, (stored_only, measured.is_ok())).await;
    let mut findings = whom.findings.clone();
    if let Err(e) = &measured {
        findings.push(Finding::unknown("stored", "what is stored is not known", e));
    }
    let mut report = PolicyReport {
        instance: config.instance.clone(),
        repository: config.repository.url.clone(),
        now,
        ok: false,
        findings,
        unclassed: whom.unclassed(config),
        classes: Vec::new(),
    };
    for (name, class) in &config.classes {
        let (tenants, dropped) = whom.of(config, name);
        let mut findings = whom::patterns(class, &whom);
        let live: Vec<&TenantName> = tenants.iter().filter(|tenant| !dropped.contains(tenant)).collect();
        let has_base = measured.as_ref().is_ok_and(Measured::has_base);
        let has_wal = measured.as_ref().is_ok_and(Measured::has_wal);
        findings.extend(scheduled::findings(config, (name, class), (has_base, has_wal), now));
        findings.extend(match &measured {
            Ok(measured) => measured.findings(config, class, &live),
            Err(_) => measured::unknown(class),
        });
        report.classes.push(ClassReport { class: name.clone(), tenants, dropped, findings });
    }
    let is_well = |finding: &Finding| matches!(finding.outcome, Outcome::Ok | Outcome::Note);
    report.ok = report.unclassed.is_empty() && report.all().all(is_well);
    Ok(report)
}

/// There is no class in this file, whose path is empty if there is no file.
fn no_class(file: &Path) -> Error {
    let (what, next) = match file.as_os_str().is_empty() {
        true => (
            "no configuration file is used, so there is no recovery class".to_owned(),
            "write a lifeboat.toml with a section [class.NAME], and name it in LIFEBOAT_CONFIG (docs/retention.md)",
        ),
        false => (
            format!("{} has no recovery class", file.display()),
            "write a section [class.standard] with tenants = [\"*\"]; docs/retention.md has examples",
        ),
    };
    Error::new(Kind::Config, what).effect("no tenant is promised anything").next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_class_the_file_is_named_if_there_is_one() {
        let e = no_class("/etc/boat/lifeboat.toml".as_ref());
        assert_eq!(e.what(), "/etc/boat/lifeboat.toml has no recovery class");
        assert!(e.next_text().unwrap().contains("[class.standard]"), "{e}");
        let e = no_class("".as_ref());
        assert_eq!(e.what(), "no configuration file is used, so there is no recovery class");
        assert!(e.next_text().unwrap().contains("LIFEBOAT_CONFIG"), "{e}");
    }
}
