//! The named restore point, and the wait until its WAL is stored.
//!
//! The point is on the timeline that the server writes when it makes it. If that timeline ends before the
//! point is stored, the point may not be in what the new one descends from: the gate fails.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::archive::wal::WalName;
use crate::archive::wal_name::NameTrust;
use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, SlotName, TimelineId, WalFile};
use crate::names::{Lsn, ReleaseId, random_hex};
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};
use crate::repository::Repository;
use crate::repository::wal::coverage::assemble;

/// How often the repository is asked whether the WAL is there.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The longest name of a restore point, in bytes (PostgreSQL `MAXFNAMELEN` - 1).
const NAME_BYTES_MAX: usize = 63;

/// A restore point that the server made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadePoint {
    /// Its name.
    pub name: String,
    /// The end of its record.
    pub lsn: Lsn,
    /// The timeline.
    pub timeline: u32,
    /// When, by the server's clock.
    pub time: Timestamp,
    /// The size of a segment of this server.
    pub segment_bytes: SegmentBytes,
}

/// A name that no other restore point has.
pub fn new_name(release: &ReleaseId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let random = random_hex(4);
    let room = NAME_BYTES_MAX - "lifeboat--".len() - random.len();
    let release: String = release.as_str().chars().map(plain).take(room).collect();
    format!("lifeboat-{release}-{random}")
}

/// Makes it.
///
/// # Errors
/// `Refused` on a standby; `Postgres` where the role may not, or `wal_level` is `minimal`.
pub async fn make(session: &mut Session, name: &str) -> Result<MadePoint> {
    let what = "create a restore point";
    let standby: bool = column(&session.row(what, "SELECT pg_is_in_recovery()").await?, 0)?;
    if standby {
        let what = format!("{} is a standby: it cannot make a restore point", session.place());
        return Err(Error::new(Kind::Refused, what).next("run the checkpoint against the primary"));
    }
    let sql = format!(
        "WITH made AS MATERIALIZED (SELECT pg_create_restore_point({}) AS lsn) \
         SELECT lsn::text, substr(pg_walfile_name(lsn), 1, 8), \
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM made",
        literal(name)
    );
    // Asked before: nothing after the point needs this session, so the server may restart meanwhile.
    let segment_bytes = segment_bytes(session).await?;
    // The record alone is flushed by nobody: on a quiet server it would wait for the next commit. This commit
    // flushes it, because its transaction has an ID; no standby is waited for.
    let begin = "BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_current_xact_id()";
    session.execute(what, begin).await?;
    let row = session.row(what, sql).await.map_err(|e| {
        e.next("let the role do it: GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO ROLE; docs/least-privilege.md")
    })?;
    session.execute("flush the restore point", "COMMIT").await?;
    let timeline: String = column(&row, 1)?;
    let time: i64 = column(&row, 2)?;
    let bad = || Error::new(Kind::Postgres, format!("cannot {what}: the server's answer makes no sense"));
    Ok(MadePoint {
        name: name.to_owned(),
        lsn: column::<String>(&row, 0)?.parse()?,
        timeline: u32::from_str_radix(&timeline, 16).map_err(|_| bad())?,
        time: Timestamp::from_microsecond(time).map_err(|_| bad())?,
        segment_bytes,
    })
}

/// The timeline that the server writes now; `None` while it is in recovery.
pub async fn timeline_now(session: &mut Session) -> Result<Option<u32>> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL \
               ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END";
    let hex: Option<String> = column(&session.row("read the timeline", sql).await?, 0)?;
    Ok(hex.and_then(|hex| u32::from_str_radix(&hex, 16).ok()))
}

async fn segment_bytes(session: &mut Session) -> Result<SegmentBytes> {
    let sql = "SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'";
    let bytes: i64 = column(&session.row("read the segment size", sql).await?, 0)?;
    SegmentBytes::try_from(bytes.max(0) as u64)
}

/// Lets the server archive the segment with the point where nothing streams: `archive_command` stores whole
/// segments only.
pub async fn push_out(session: &mut Session, slot: &SlotName) -> Result<()> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {} AND active), \
         current_setting('archive_mode') <> 'off'",
        literal(slot.as_str())
    );
    let row = session.row("look at archiving", sql).await?;
    let (streams, archives): (bool, bool) = (column(&row, 0)?, column(&row, 1)?);
    if !streams && archives {
        session.execute("switch to a new WAL segment", "SELECT pg_switch_wal()").await.map_err(|e| {
            e.next("let the role do it: GRANT EXECUTE ON FUNCTION pg_switch_wal() TO ROLE; docs/least-privilege.md")
        })?;
    }
    Ok(())
}

/// What is waited for.
pub struct Awaited<'a> {
    /// Where.
    pub repository: &'a Repository,
    /// Whose names count.
    pub trust: &'a NameTrust,
    /// Which timeline.
    pub timeline: TimelineId,
    /// Up to where.
    pub lsn: Lsn,
    /// Size of a segment.
    pub segment_bytes: SegmentBytes,
}

impl Awaited<'_> {
    /// Waits until the segment of the point is stored up to it. Returns how far it is stored; less than the
    /// point where the time is up.
    ///
    /// # Errors
    /// Those of the store; `Interrupted`.
    pub async fn wait(&self, until: Instant, cancel: &CancellationToken) -> Result<Option<Lsn>> {
        loop {
            let stored = self.stored().await?;
            if stored.is_some_and(|stored| stored >= self.lsn) || clock::instant() >= until {
                return Ok(stored);
            }
            tokio::select! {
                () = clock::sleep(ASK_EVERY) => {}
                () = cancel.cancelled() => {
                    return Err(Error::new(Kind::Interrupted, "stopped by a signal")
                        .safe("running the same command again continues"));
                }
            }
        }
    }

    /// How far the segment of the point is stored, from its first byte.
    async fn stored(&self) -> Result<Option<Lsn>> {
        let last = Lsn(self.lsn.0.saturating_sub(1));
        let segment = SegmentName::holding(self.timeline, last, self.segment_bytes);
        let listed = self.repository.wal_of_file(WalFile::Segment(segment), self.trust).await?;
        let names: Vec<WalName> = listed.signed.iter().map(|object| object.name).collect();
        let Some(begin) = segment.begin(self.segment_bytes) else { return Ok(None) };
        Ok(assemble(&names).last().map(|name| Lsn(begin.0 + u64::from(name.end))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_short_and_plain() {
        let release: ReleaseId = "2026.11.20-rc1".parse().unwrap();
        let (one, two) = (new_name(&release), new_name(&release));
        assert_ne!(one, two);
        assert!(one.starts_with("lifeboat-2026.11.20-rc1-"));
        let long: ReleaseId = "x".repeat(120).parse().unwrap();
        assert!(new_name(&long).len() <= NAME_BYTES_MAX);
    }
}
