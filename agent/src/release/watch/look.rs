//! One look at one tenant. A table that the statistics say was not written to since the last look is not read
//! again, but for the last look, on which everything is decided.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{self, Timestamp};
use crate::config::Watch;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::business::{Document, Failure, LockWaits, Read, SOURCES, Seen, Stamp, stamps};
use crate::postgres::PostgresOptions;
use crate::postgres::session::{Session, column};
use crate::release::reading::{Connected, Reading};
use crate::release::watch::judge::{DOCUMENTS, TenantLook, documents, failures, waits};
use crate::release::watch::series::Series;

/// What is remembered of a tenant from one look to the next.
pub struct Watched<'a> {
    options: &'a PostgresOptions,
    limits: &'a Watch,
    tenant: &'a TenantName,
    since: Timestamp,
    longest: Duration,
    read: BTreeMap<&'static str, (Option<Stamp>, Series)>,
}

/// A document or a failure that is watched: its table, and its name for people.
#[derive(Clone, Copy)]
enum Subject {
    Document(Document),
    Failure(Failure),
}

impl Subject {
    fn all() -> impl Iterator<Item = Subject> {
        DOCUMENTS.map(Subject::Document).into_iter().chain(Failure::ALL.map(Subject::Failure))
    }

    fn table(self) -> &'static str {
        match self {
            Subject::Document(document) => document.table(),
            Subject::Failure(failure) => failure.table(),
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Subject::Document(document) => document.plural(),
            Subject::Failure(failure) => failure.plural(),
        }
    }
}

impl<'a> Watched<'a> {
    /// Begins.
    pub fn new(
        options: &'a PostgresOptions,
        limits: &'a Watch,
        tenant: &'a TenantName,
        since: Timestamp,
        longest: Duration,
    ) -> Watched<'a> {
        Watched { options, limits, tenant, since, longest, read: BTreeMap::new() }
    }

    /// Looks. `whole` reads every table. Also gives the server's time, where it was asked.
    ///
    /// # Errors
    /// `Interrupted` alone: what else fails is not known in the look.
    pub async fn look(&mut self, whole: bool) -> Result<(TenantLook, Option<Timestamp>)> {
        let mut look = TenantLook::default();
        let mut reading = Reading::new(self.options, self.tenant, self.limits.read_time_max);
        let error = match reading.connect().await {
            Connected::Yes => None,
            Connected::Gone => Some(Error::new(Kind::NotFound, "the database does not exist")),
            Connected::No(e) => Some(e),
        };
        if let Some(e) = error {
            noted(&mut look, "the tenant", e)?;
            return Ok((look, None));
        }
        let now = match reading.part(async |session| server_time(session).await).await {
            Ok(now) => now,
            Err(e) => {
                noted(&mut look, "the server's clock", e)?;
                return Ok((look, None));
            }
        };
        let elapsed =
            Duration::try_from(now.duration_since(self.since)).unwrap_or_default().min(self.longest);
        let tables: Vec<&str> = Subject::all().map(Subject::table).collect();
        // Without them every table is read.
        let stamps = reading.part(async |session| stamps(session, &tables).await).await.unwrap_or_default();
        for subject in Subject::all() {
            let stamp = stamps.get(subject.table()).copied();
            let known =
                self.read.get(subject.table()).filter(|(old, _)| !whole && stamp.is_some() && *old == stamp);
            let series = match known {
                Some((_, series)) => Some(series.clone()),
                None => match self.series(&mut reading, subject).await {
                    Ok(series) => series,
                    Err(e) => {
                        self.read.remove(subject.table());
                        noted(&mut look, subject.plural(), e)?;
                        continue;
                    }
                },
            };
            let Some(series) = series else { continue };
            let counts = series.counts(elapsed);
            look.findings.push(match subject {
                Subject::Document(document) => documents(document, counts, self.limits),
                Subject::Failure(failure) => failures(failure, counts, self.limits),
            });
            self.read.insert(subject.table(), (stamp, series));
        }
        match reading.part(async |session| LockWaits::look(session).await).await {
            Ok(Some(found)) => look.findings.push(waits(found, self.limits)),
            Ok(None) => {
                let why = "the role may not see the sessions of others: grant it pg_read_all_stats";
                noted(&mut look, "lock waits", Error::new(Kind::Denied, why))?;
            }
            Err(e) => noted(&mut look, "lock waits", e)?,
        }
        reading.close().await;
        Ok((look, Some(now)))
    }

    /// Reads a table; `None` if there is none.
    async fn series(&self, reading: &mut Reading<'_>, subject: Subject) -> Result<Option<Series>> {
        let mut series = Series::new(self.since, self.longest);
        let read = match subject {
            Subject::Failure(failure) => {
                let each = async |session: &mut Session| {
                    let add = |failed: crate::odoo::business::Failed| {
                        series.add(failed.at);
                        Ok(())
                    };
                    failure.each(session, add).await
                };
                reading.part(each).await?
            }
            Subject::Document(document) => {
                let source = SOURCES.iter().find(|source| source.table == document.table());
                let source =
                    source.ok_or_else(|| Error::new(Kind::Internal, "a document without a table"))?;
                let each = async |session: &mut Session| {
                    let add = |seen: &Seen<'_>| {
                        seen.created.into_iter().for_each(|created| series.add(created));
                        Ok(())
                    };
                    source.each(session, add).await
                };
                reading.part(each).await?
            }
        };
        Ok(match read {
            Read::All => Some(series),
            Read::NoTable => None,
        })
    }
}

/// Notes what could not be read.
fn noted(look: &mut TenantLook, what: &str, error: Error) -> Result<()> {
    if error.kind() == Kind::Interrupted {
        return Err(error);
    }
    look.not_known.push(format!("{what}: {}", error.line()));
    Ok(())
}

async fn server_time(session: &mut Session) -> Result<Timestamp> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
    let micros: i64 = column(&session.row("ask for the server's clock", sql).await?, 0)?;
    Ok(Timestamp::from_microsecond(micros).unwrap_or_else(|_| clock::now()))
}
