//! One of the two databases, at one snapshot: everything that is read of it is of the same moment.

use std::time::Duration;

use crate::error::Result;
use crate::names::TenantName;
use crate::postgres::look;
use crate::postgres::snapshot::SnapshotSession;
use crate::postgres::{PostgresOptions, Session};

/// How long reading one table may take.
const TABLE_MAX: Duration = Duration::from_secs(60 * 60);
/// How long a lock is waited for: nobody should migrate these databases now.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A database at a snapshot, which holds back vacuum until it is dropped.
pub struct Side<'a> {
    options: &'a PostgresOptions,
    database: &'a TenantName,
    snapshot: SnapshotSession,
}

impl<'a> Side<'a> {
    /// Takes the snapshot.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub async fn begin(options: &'a PostgresOptions, database: &'a TenantName) -> Result<Side<'a>> {
        let snapshot = SnapshotSession::begin(options, database.as_str()).await?;
        Ok(Side { options, database, snapshot })
    }

    /// Its name.
    pub fn database(&self) -> &TenantName {
        self.database
    }

    /// Reads one part in a session of its own: after an error, the next part begins with a new one.
    ///
    /// # Errors
    /// Those of `part`, and of the server.
    pub async fn part<T>(&self, part: impl AsyncFnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut session = Session::connect(self.options, self.database.as_str()).await?;
        session.allow(TABLE_MAX).await?;
        let wait = format!("SET lock_timeout = {}", LOCK_WAIT.as_millis());
        session.execute("set a time limit for locks", wait).await?;
        look::begin_at(&mut session, &self.snapshot.exported.id).await?;
        let read = part(&mut session).await?;
        look::end(&mut session).await?;
        session.close().await;
        Ok(read)
    }

    /// Ends it in an orderly way.
    ///
    /// # Errors
    /// `Postgres` if the snapshot did not last to the end.
    pub async fn end(self) -> Result<()> {
        self.snapshot.end().await
    }
}
