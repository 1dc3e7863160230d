//! Runs the catalogue of checks on a restored database, one at a time, each in its own read-only
//! transaction with a time limit.

use std::time::Duration;

use lifeboat::clock;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::postgres::Session;
use lifeboat::postgres::session::column;
use serde::{Deserialize, Serialize};

use super::Catalogue;
use super::check::{Check, Severity};
use super::schema::Schema;
use crate::plan::accept::Acceptance;

/// How many violations of each check are shown: the first in the order of their text.
pub const SAMPLES: usize = 3;
const SAMPLE_CHARS: usize = 200;
/// The time limit of the prelude and of reading the schema: they need seconds; more means a server in
/// trouble.
const PREPARE_LIMIT: Duration = Duration::from_secs(120);

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It ran to its end and found nothing.
    Passed,
    /// A hard check found violations.
    Failed,
    /// A hard check found no more violations than the plan accepts: reported, does not fail the drill.
    Accepted,
    /// A base or info check found violations: reported, never fails the drill.
    Noted,
    /// It is not for this series, or something that it requires is missing. It never counts as passed.
    Skipped,
    /// It could not be run to its end.
    Error,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// See [`Check::id`].
    pub id: String,
    /// See [`Check::area`].
    pub area: String,
    /// See [`Check::severity`].
    pub severity: Severity,
    /// See [`Check::title`].
    pub title: String,
    /// See [`Check::reason`].
    pub reason: String,
    /// See [`Check::sql`]; empty in reports that are older than this field.
    #[serde(default)]
    pub sql: String,
    /// How it ended.
    pub status: Status,
    /// The number of rows found; absent if the check did not run to its end.
    pub violations: Option<u64>,
    /// The first rows in the order of their text, each cut at 200 characters.
    pub samples: Vec<String>,
    /// Why it was skipped, or the error, or why the plan's acceptance does not apply.
    pub message: Option<String>,
    /// The violations that the plan accepts.
    #[serde(default)]
    pub accepted: Option<Acceptance>,
    /// Its duration in milliseconds.
    pub ms: u64,
}

/// Runs every check of the catalogue, in its order; returns one outcome for each.
///
/// A check that cannot be run is an outcome, not an error of this function. It writes nothing to the
/// database except temporary functions, which disappear with the session.
///
/// # Errors
/// [`Kind::Postgres`] if the session cannot be prepared: the server is gone, or a prelude is wrong. Safe
/// to repeat.
pub async fn run(session: &mut Session, catalogue: &Catalogue, timeout: Duration) -> Result<Vec<Outcome>> {
    let schema = match tokio::time::timeout(PREPARE_LIMIT, prepare(session, catalogue)).await {
        Ok(schema) => schema?,
        Err(_) => {
            let what = format!("the checks could not be prepared in {}", clock::span_text(PREPARE_LIMIT));
            return Err(Error::new(Kind::Postgres, what).effect("no check was run"));
        }
    };
    session.allow(timeout).await?;
    let mut outcomes = Vec::with_capacity(catalogue.checks.len());
    let mut lost = None;
    for check in &catalogue.checks {
        let begun = clock::instant();
        let result = match (schema.reason_to_skip(check), &lost) {
            (Some(reason), _) => Ended::Skipped(reason),
            (None, Some(id)) => Ended::Error(format!("not run: the connection was lost at check {id}")),
            (None, None) => match transaction(session, check).await {
                Ok(found) => Ended::Found(found),
                Err(error) => {
                    if !session.is_usable() {
                        lost = Some(check.id.clone());
                    }
                    Ended::Error(match error.causes().as_slice() {
                        [] => error.what().to_owned(),
                        causes => causes.join(": "),
                    })
                }
            },
        };
        outcomes.push(outcome(check, result, begun.elapsed()));
    }
    Ok(outcomes)
}

async fn prepare(session: &mut Session, catalogue: &Catalogue) -> Result<Schema> {
    // A fresh restore has poor statistics, so JIT costs more than it saves. PostgreSQL's own names come
    // first and temporary ones last: a restored database contains code and settings of its owner (this
    // session has no more rights than that owner). A policy must not hide rows from a check.
    let settings = "SET search_path = pg_catalog, public, pg_temp; SET row_security = off; SET jit = off";
    session.execute("set up the session of the checks", settings).await?;
    for prelude in &catalogue.preludes {
        session.execute("create the helper functions of the checks (prelude.sql)", prelude).await?;
    }
    let settings = "SET default_transaction_read_only = on";
    session.execute("set up the session of the checks", settings).await?;
    Schema::read(session).await
}

/// What a check found: the number of rows and the first ones.
#[derive(Default)]
struct Found {
    violations: u64,
    samples: Vec<String>,
}

async fn transaction(session: &mut Session, check: &Check) -> Result<Found> {
    let what = format!("run check {}", check.id);
    session.execute(&what, "BEGIN READ ONLY").await?;
    let found = violations(session, &what, check).await;
    if session.is_usable() {
        session.execute(&what, "ROLLBACK").await?;
    }
    found
}

/// Counts rows as they arrive and keeps the first ones: memory does not grow with the number of violations.
/// In parentheses, the server accepts no second statement.
async fn violations(session: &mut Session, what: &str, check: &Check) -> Result<Found> {
    let mut found = Found::default();
    let mut several = false;
    let each = |row| {
        several |= column::<Option<String>>(&row, 1).is_ok();
        let text: Option<String> = column(&row, 0)?;
        let text = text.unwrap_or_else(|| "(no text: a part of it is NULL)".to_owned());
        found.violations += 1;
        let text: String = text.chars().take(SAMPLE_CHARS).collect();
        let at = found.samples.partition_point(|kept| *kept <= text);
        if at < SAMPLES {
            found.samples.insert(at, text);
            found.samples.truncate(SAMPLES);
        }
        Ok(())
    };
    session.each(what, format!("SELECT * FROM (\n{}\n) AS found", check.sql), each).await?;
    match several {
        true => Err(Error::new(Kind::Config, "it returns several columns, not one")),
        false => Ok(found),
    }
}

enum Ended {
    Found(Found),
    Skipped(String),
    Error(String),
}

fn outcome(check: &Check, ended: Ended, took: Duration) -> Outcome {
    let (status, violations, samples, message) = match ended {
        Ended::Found(found) => {
            let status = match (found.violations, check.severity) {
                (0, _) => Status::Passed,
                (_, Severity::Hard) => Status::Failed,
                (_, Severity::Base | Severity::Info) => Status::Noted,
            };
            (status, Some(found.violations), found.samples, None)
        }
        Ended::Skipped(reason) => (Status::Skipped, None, Vec::new(), Some(reason)),
        Ended::Error(message) => (Status::Error, None, Vec::new(), Some(message)),
    };
    Outcome {
        id: check.id.clone(),
        area: check.area.clone(),
        severity: check.severity,
        title: check.title.clone(),
        reason: check.reason.clone(),
        sql: check.sql.clone(),
        status,
        violations,
        samples,
        message,
        accepted: None,
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}
