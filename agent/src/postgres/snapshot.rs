//! A session with an exported snapshot, which pg_dump uses too.

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::look::guard;
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Session, column};

/// What pg_dump needs of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// For `--snapshot`.
    pub id: String,
    /// The database's own encoding, for `--encoding`. With a `client_encoding` of the role or database,
    /// pg_dump would convert every text and fail at the first one that it cannot convert.
    pub encoding: String,
}

/// A read-only transaction with an exported snapshot: queries here and pg_dump with `--snapshot` see exactly
/// the same rows.
///
/// It holds back vacuum while it exists: drop it or call [`SnapshotSession::end`] as soon as pg_dump and the
/// baseline are done. If it is dropped before pg_dump has begun, pg_dump fails.
pub struct SnapshotSession {
    /// The session inside the transaction.
    pub session: Session,
    /// What pg_dump needs of it.
    pub exported: Exported,
    /// The WAL position when the snapshot was taken: everything visible is before it. On a standby, the
    /// replayed position.
    pub lsn: Lsn,
    /// The server's clock at the beginning of the transaction: everything committed before is visible.
    pub time: Timestamp,
}

impl SnapshotSession {
    /// Opens a session in `database` and exports a snapshot. Works on a standby too.
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
        // Nothing was written; the answer shows that the session existed to the end.
        self.session.execute("end the snapshot", "ROLLBACK").await?;
        self.session.close().await;
        Ok(())
    }
}
