//! The state of a replication slot on the server.

use serde::Serialize;

use crate::error::Result;
use crate::names::Lsn;
use crate::names::wal::SlotName;
use crate::postgres::session::{Session, column};

/// A slot of `pg_replication_slots`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotState {
    /// Whether it is a physical one.
    pub physical: bool,
    /// Whether a client streams through it now.
    pub active: bool,
    /// The oldest WAL that it keeps; `None` if it was never used or is lost.
    pub restart: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`; `None` if it was never used.
    pub status: Option<String>,
    /// How much WAL can be written before the slot may be lost; `None` if there is no limit.
    pub safe_bytes: Option<i64>,
    /// How much WAL it keeps from being removed.
    pub kept_bytes: Option<i64>,
    /// The server's current position: written, or on a standby replayed.
    pub server: Lsn,
    /// Whether commits wait for the client with the slot's name.
    pub waited_for: bool,
}

/// Reads the slot of this name; `None` if it does not exist.
pub async fn slot_state(session: &mut Session, slot: &SlotName) -> Result<Option<SlotState>> {
    let sql = format!(
        "WITH here AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                                   ELSE pg_current_wal_flush_lsn() END AS lsn) \
         SELECT slot_type = 'physical', active, restart_lsn::text, wal_status, safe_wal_size, \
                pg_wal_lsn_diff(lsn, restart_lsn)::bigint, lsn::text, \
                EXISTS (SELECT FROM pg_stat_replication \
                        WHERE application_name = '{slot}' AND sync_state IN ('sync', 'quorum')) \
         FROM pg_replication_slots, here WHERE slot_name = '{slot}'"
    );
    let rows = session.rows("read the replication slot", sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let restart: Option<String> = column(row, 2)?;
    Ok(Some(SlotState {
        physical: column(row, 0)?,
        active: column(row, 1)?,
        restart: restart.map(|lsn| lsn.parse()).transpose()?,
        status: column(row, 3)?,
        safe_bytes: column(row, 4)?,
        kept_bytes: column(row, 5)?,
        server: column::<String>(row, 6)?.parse()?,
        waited_for: column(row, 7)?,
    }))
}
