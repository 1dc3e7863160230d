//! The slot of a base backup keeps WAL on the server while files are read. Where that becomes more than
//! `max_slot_wal_keep_size`, the server ends the session that holds the slot, and with it the base backup.
//! The session's own error ("terminated") does not say why.

use crate::backup::base::context::Context;
use crate::error::{Error, Kind, Result};
use crate::names::{Lsn, bytes_text};
use crate::postgres::replication::code_of;
use crate::postgres::session::{Session, column};

/// What the server says to a session that it ends (admin_shutdown).
const ENDED: &str = "57P01";

/// Where the server's WAL is, and how much of it a slot may keep.
#[derive(Clone, Copy, Debug)]
pub struct WalKept {
    /// A new slot keeps WAL from this position.
    redo: Lsn,
    /// The server's end.
    end: Lsn,
    segment_bytes: u64,
    /// `max_slot_wal_keep_size`; `None` where there is no limit.
    limit_bytes: Option<u64>,
}

/// Asks for it.
///
/// # Errors
/// Those of the server.
pub async fn ask(session: &mut Session) -> Result<WalKept> {
    let sql = "SELECT redo_lsn::text, \
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text, \
        (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size'), \
        (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size') \
        FROM pg_control_checkpoint()";
    let row = session.row("ask how much WAL a slot may keep", sql).await?;
    let redo: Lsn = column::<String>(&row, 0)?.parse()?;
    let end = column::<Option<String>>(&row, 1)?.map(|lsn| lsn.parse()).transpose()?;
    let limit: Option<i64> = column(&row, 3)?;
    Ok(WalKept {
        redo,
        end: end.unwrap_or(redo),
        segment_bytes: u64::try_from(column::<i64>(&row, 2)?).unwrap_or(0).max(1),
        limit_bytes: limit
            .and_then(|mebibytes| u64::try_from(mebibytes).ok())
            .map(|mebibytes| mebibytes << 20),
    })
}

/// The error of a base backup that began at `before`, explained where the limit ended it.
pub async fn explained(context: &Context, before: WalKept, error: Error) -> Error {
    if error.kind() != Kind::Postgres || !matches!(code_of(&error), None | Some(ENDED)) {
        return error;
    }
    let asked = async {
        let mut session = Session::maintenance(&context.job.postgres).await?;
        let now = ask(&mut session).await?;
        session.close().await;
        Ok::<_, Error>(now)
    };
    match asked.await.map(|now| exceeded(&before, &now)) {
        Ok(Some((kept, limit))) => refused(kept, limit).because(error),
        Ok(None) => error,
        Err(e) => {
            tracing::debug!("{e:?}");
            error
        }
    }
}

/// What a slot created at `before` would keep now, and the limit, where that is exceeded. The server counts
/// segments.
fn exceeded(before: &WalKept, now: &WalKept) -> Option<(u64, u64)> {
    let segment = |lsn: Lsn| lsn.0 / now.segment_bytes;
    let limit = now.limit_bytes?;
    let kept = segment(now.end).saturating_sub(segment(before.redo));
    (kept > limit / now.segment_bytes).then(|| (now.end.0.saturating_sub(before.redo.0), limit))
}

fn refused(kept: u64, limit: u64) -> Error {
    let (kept, limit) = (bytes_text(kept), bytes_text(limit));
    let what = format!(
        "the server ended the base backup: {kept} of WAL were written while it ran, but \
         max_slot_wal_keep_size lets its slot keep only {limit}"
    );
    Error::new(Kind::Postgres, what)
        .effect("no base backup was stored")
        .next("raise max_slot_wal_keep_size above the WAL that is written during a base backup (ALTER SYSTEM, then SELECT pg_reload_conf()) and run again: runbooks/wal-slot.md")
        .safe("running again is safe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_counts_whole_segments() {
        const MIB: u64 = 1 << 20;
        let at = |redo: u64, end: u64, limit: Option<u64>| WalKept {
            redo: Lsn(redo * MIB),
            end: Lsn(end * MIB),
            segment_bytes: 16 * MIB,
            limit_bytes: limit.map(|limit| limit * MIB),
        };
        let told = |end, limit| exceeded(&at(40, 41, limit), &at(end, end, limit));
        assert_eq!(told(63, Some(16)), None, "the next segment");
        assert_eq!(told(64, Some(16)), Some((24 * MIB, 16 * MIB)));
        assert_eq!(told(64, Some(32)), None);
        assert_eq!(told(640, None), None, "no limit");
    }
}
