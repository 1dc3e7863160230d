//! What the server says of a replication slot.

use serde::Serialize;

use crate::error::Result;
use crate::names::Lsn;
use crate::names::wal::SlotName;
use crate::postgres::session::{Session, column};

/// A slot as `pg_replication_slots` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotState {
    /// Whether it is a physical one.
    pub physical: bool,
    /// Whether somebody streams through it now.
    pub active: bool,
    /// The oldest WAL that it keeps; none where it was never used, or is lost.
    pub restart: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`; none where it was never used.
    pub status: Option<String>,
    /// How much WAL can be written until it may be lost; none where that is unlimited.
    pub safe_bytes: Option<i64>,
    /// How much WAL it keeps from being removed.
    pub kept_bytes: Option<i64>,
    /// How far the server has written, or replayed.
    pub server: Lsn,
    /// Whether commits wait for whoever streams by the slot's name.
    pub waited_for: bool,
}

/// The slot of this name; `None` where there is none.
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
    let rows = session.rows("look at the replication slot", sql).await?;
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
