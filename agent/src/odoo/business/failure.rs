//! What Odoo could not do: failed queue jobs and mails, and sessions that wait for a lock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Read;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::names::counted;
use crate::postgres::copy_out::Row;
use crate::postgres::session::{Session, column};
use crate::postgres::table::{Table, Type};

/// A kind of failure that a table records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// A job of module `queue_job` that failed.
    Job,
    /// A mail that could not be sent.
    Mail,
}

/// One failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When it failed: the last change of its row.
    pub at: Timestamp,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 2] = [Failure::Job, Failure::Mail];

    /// Its stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Job => "failed-job",
            Failure::Mail => "failed-mail",
        }
    }

    /// For people, in the plural.
    pub fn plural(self) -> &'static str {
        match self {
            Failure::Job => "failed jobs",
            Failure::Mail => "failed mails",
        }
    }

    /// So many, for people.
    pub fn counted(self, count: u64) -> String {
        counted(count, self.plural().trim_end_matches('s'))
    }

    /// Its table.
    pub fn table(self) -> &'static str {
        match self {
            Failure::Job => "queue_job",
            Failure::Mail => "mail_mail",
        }
    }

    fn state(self) -> &'static [u8] {
        match self {
            Failure::Job => b"failed",
            Failure::Mail => b"exception",
        }
    }

    /// Passes on everything that is failed now, in no particular order.
    ///
    /// # Errors
    /// As [`super::Source::each`].
    pub async fn each(
        self,
        session: &mut Session,
        mut each: impl FnMut(Failed) -> Result<()>,
    ) -> Result<Read> {
        let Some(table) = Table::find(session, self.table()).await? else { return Ok(Read::NoTable) };
        let failed = |row: &Row<'_>| match row.time(1).filter(|_| row.bytes(0) == Some(self.state())) {
            Some(at) => each(Failed { at }),
            None => Ok(()),
        };
        table.each(session, &[("state", Type::Text), ("write_date", Type::Time)], failed).await?;
        Ok(Read::All)
    }
}

/// Sessions of this database that wait for a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LockWaits {
    /// How many.
    pub sessions: u64,
    /// How long the longest has waited.
    pub longest_seconds: u64,
}

/// Since PostgreSQL 14 the server says since when a lock is waited for; before, the beginning of the
/// statement is the best that is known, and only who may see the sessions of others sees it.
const WAITS: &str = "\
    SELECT count(DISTINCT a.pid), \
      coalesce(max(extract(epoch FROM clock_timestamp() - SINCE)), 0)::int8, \
      count(*) FILTER (WHERE SINCE IS NULL) = 0 \
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
    WHERE NOT l.granted AND a.datname = current_database()";

impl LockWaits {
    /// Looks at them. `None` if the role may not see since when the others wait.
    ///
    /// # Errors
    /// `Postgres` if the server fails.
    pub async fn look(session: &mut Session) -> Result<Option<LockWaits>> {
        let since = if session.version_num() >= 140_000 { "l.waitstart" } else { "a.query_start" };
        let row = session.row("look at waiting sessions", WAITS.replace("SINCE", since)).await?;
        let sessions = column::<i64>(&row, 0)?.max(0) as u64;
        let longest = column::<i64>(&row, 1)?.max(0) as u64;
        // `waitstart` is empty for a moment when a wait begins: that one is not long.
        let is_known = column::<bool>(&row, 2)? || session.version_num() >= 140_000;
        Ok(is_known.then_some(LockWaits { sessions, longest_seconds: longest }))
    }

    /// How long the longest has waited.
    pub fn longest(&self) -> Duration {
        Duration::from_secs(self.longest_seconds)
    }
}
