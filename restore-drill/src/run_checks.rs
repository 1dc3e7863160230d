//! Runs the catalogue of checks on a restored database, one at a time, each in its own read-only
//! transaction with a time limit.

use std::time::Duration;

use futures::TryStreamExt;
use lifeboat::clock;
use lifeboat::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, PgConnection, Row, SqlSafeStr, Statement, TypeInfo};

use crate::accept::Acceptance;
use crate::check::{Check, Severity};
use crate::checks::Catalogue;
use crate::schema::Schema;

/// How many violations of each check are shown: the first in the order of their text.
pub const SAMPLES: usize = 3;
const SAMPLE_CHARS: usize = 200;
/// How long we wait beyond the server's own time limit before we give up the connection.
const GRACE: Duration = Duration::from_secs(15);
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
pub async fn run(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    timeout: Duration,
) -> Result<Vec<Outcome>> {
    let schema = match tokio::time::timeout(PREPARE_LIMIT, prepare(connection, catalogue)).await {
        Ok(schema) => schema?,
        Err(_) => {
            let what = format!("the checks could not be prepared in {}", clock::span_text(PREPARE_LIMIT));
            return Err(Error::new(Kind::Postgres, what).effect("no check was run"));
        }
    };
    let mut outcomes = Vec::with_capacity(catalogue.checks.len());
    let mut lost = None;
    for check in &catalogue.checks {
        let begun = clock::instant();
        let result = match (schema.reason_to_skip(check), &lost) {
            (Some(reason), _) => Ended::Skipped(reason),
            (None, Some(id)) => Ended::Error(format!("not run: the connection was lost at check {id}")),
            (None, None) => match one(connection, check, timeout).await {
                Ok(found) => Ended::Found(found),
                Err(Trouble::Check(message)) => Ended::Error(message),
                Err(Trouble::Connection(message)) => {
                    lost = Some(check.id.clone());
                    Ended::Error(message)
                }
            },
        };
        outcomes.push(outcome(check, result, begun.elapsed()));
    }
    Ok(outcomes)
}

fn failed(verb: &str, source: sqlx::Error) -> Error {
    Error::new(Kind::Postgres, format!("cannot {verb}")).because(source)
}

async fn prepare(connection: &mut PgConnection, catalogue: &Catalogue) -> Result<Schema> {
    // A fresh restore has poor statistics, so JIT costs more than it saves. PostgreSQL's own names come
    // first and temporary ones last: a restored database contains code and settings of its owner (this
    // session has no more rights than that owner). A policy must not hide rows from a check.
    let settings = format!(
        "SET search_path = pg_catalog, public, pg_temp; SET row_security = off; SET jit = off; \
         SET client_min_messages = warning; SET statement_timeout = {};",
        PREPARE_LIMIT.as_millis()
    );
    execute(connection, &settings, "set up the session of the checks").await?;
    for prelude in &catalogue.preludes {
        execute(connection, prelude, "create the helper functions of the checks (prelude.sql)").await?;
    }
    execute(connection, "SET default_transaction_read_only = on", "set up the session of the checks").await?;
    Schema::read(connection).await
}

async fn execute(connection: &mut PgConnection, script: &str, verb: &str) -> Result<()> {
    let script = sqlx::raw_sql(AssertSqlSafe(script));
    script.execute(connection).await.map(|_| ()).map_err(|e| failed(verb, e))
}

/// What a check found: the number of rows and the first ones.
struct Found {
    violations: u64,
    samples: Vec<String>,
}

enum Trouble {
    /// This check cannot be run; the next one can.
    Check(String),
    /// The connection cannot be used any more.
    Connection(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Trouble {
        match &error {
            sqlx::Error::Database(said) => Trouble::Check(said.to_string()),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => Trouble::Check(error.to_string()),
            _ => Trouble::Connection(error.to_string()),
        }
    }
}

async fn one(connection: &mut PgConnection, check: &Check, timeout: Duration) -> Result<Found, Trouble> {
    match tokio::time::timeout(timeout + GRACE, transaction(connection, check, timeout)).await {
        Ok(found) => found,
        // After an abandoned query the connection is in the middle of an answer.
        Err(_) => Err(Trouble::Connection(format!(
            "no answer within {}, although the server's own time limit should have ended the query",
            clock::span_text(timeout + GRACE)
        ))),
    }
}

async fn transaction(
    connection: &mut PgConnection,
    check: &Check,
    timeout: Duration,
) -> Result<Found, Trouble> {
    let mut transaction = connection.begin_with("BEGIN READ ONLY").await?;
    let limit = format!("SET LOCAL statement_timeout = {}", timeout.as_millis());
    sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut *transaction).await?;
    let result = violations(&mut transaction, check).await;
    let ended = transaction.rollback().await;
    let found = result?;
    ended?;
    Ok(found)
}

/// Counts rows as they arrive and keeps the first ones: memory does not grow with the number of violations.
/// The statement is prepared, so that the server refuses more than one.
async fn violations(connection: &mut PgConnection, check: &Check) -> Result<Found, Trouble> {
    let statement = connection.prepare(AssertSqlSafe(check.sql.as_str()).into_sql_str()).await?;
    match statement.columns() {
        [one] if ["TEXT", "VARCHAR", "NAME"].contains(&one.type_info().name()) => {}
        [one] => {
            let what = format!("it returns a column of type {}, not text", one.type_info().name());
            return Err(Trouble::Check(what));
        }
        columns => {
            return Err(Trouble::Check(format!("it returns {} columns, not one", columns.len())));
        }
    }
    let mut found = Found { violations: 0, samples: Vec::with_capacity(SAMPLES + 1) };
    let mut rows = statement.query().persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let text: Option<String> = row.try_get_unchecked(0)?;
        let text = text.unwrap_or_else(|| "(no text: a part of it is NULL)".to_owned());
        found.violations += 1;
        let text: String = text.chars().take(SAMPLE_CHARS).collect();
        let at = found.samples.partition_point(|kept| *kept <= text);
        if at < SAMPLES {
            found.samples.insert(at, text);
            found.samples.truncate(SAMPLES);
        }
    }
    Ok(found)
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
        status,
        violations,
        samples,
        message,
        accepted: None,
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}
