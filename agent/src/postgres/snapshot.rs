//! A session whose view of the database is frozen and lent to pg_dump.

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::look::guard;
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Session, column};

/// What is exported, for pg_dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// For `--snapshot`.
    pub id: String,
    /// The database's own encoding, for `--encoding`: a role's or database's `client_encoding` would have
    /// pg_dump convert every text, and fail at the first that it cannot.
    pub encoding: String,
}

/// A read-only transaction with an exported snapshot: what is asked here and what pg_dump reads
/// with `--snapshot` is the same state to the row.
///
/// It holds back vacuum for as long as it lives: drop or [`SnapshotSession::end`] it as soon as
/// pg_dump and the baseline are done. Dropping it before pg_dump has begun makes pg_dump fail.
pub struct SnapshotSession {
    /// The session inside the transaction.
    pub session: Session,
    /// What pg_dump is told of it.
    pub exported: Exported,
    /// Where the WAL was when the snapshot was taken: all that is seen lies before it. On a
    /// standby what was replayed.
    pub lsn: Lsn,
    /// The server's clock at the beginning of the transaction: what was committed before is in.
    pub time: Timestamp,
}

impl SnapshotSession {
    /// Opens a session in `database` and freezes its view. Works on a standby too.
    pub async fn begin(options: &PostgresOptions, database: &str) -> Result<SnapshotSession> {
        let mut session = Session::connect(options, database).await?;
        let what = "begin a snapshot";
        session.allow(TABLE_WAIT).await?; // whole tables are counted in it
        session.execute(what, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        guard(&mut session).await?;
        let sql = "SELECT pg_export_snapshot(), \
                   CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text, \
                   trunc(extract(epoch FROM now()) * 1000000)::bigint, \
                   pg_catalog.current_setting('server_encoding')";
        let row = session.row(what, sql).await?;
        let micros: i64 = column(&row, 2)?;
        let time = Timestamp::from_microsecond(micros).map_err(|e| {
            Error::new(
                Kind::Postgres,
                format!("the clock of the server of {} is out of range", session.place()),
            )
            .because(e)
        })?;
        let lsn: Option<String> = column(&row, 1)?;
        let lsn = lsn.as_deref().unwrap_or("0/0").parse()?;
        let exported = Exported { id: column(&row, 0)?, encoding: column(&row, 3)? };
        Ok(SnapshotSession { exported, lsn, time, session })
    }

    /// Ends the transaction and the session.
    pub async fn end(mut self) -> Result<()> {
        // Nothing was written; the answer shows that the session lived to the end.
        self.session.execute("end the snapshot", "ROLLBACK").await?;
        self.session.close().await;
        Ok(())
    }
}
