//! The server's half of a base backup: one session that stays open from start to stop. If the session is
//! lost, PostgreSQL ends the backup itself and [`BaseSession::stop`] fails; backup mode never stays on.

use std::path::PathBuf;

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::{Lsn, random_hex};
use crate::postgres::collations::{self, Sorting};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::quote::literal;
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Row, Session, column};

/// Settings that must be at least as large on a hot standby that replays this server's WAL.
const REPLAY_SETTINGS: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// Facts of the server that a base backup needs.
#[derive(Clone, Debug, Default)]
pub struct BaseServer {
    /// Size of a WAL segment.
    pub wal_segment_bytes: u64,
    /// Pages in a segment of a relation.
    pub segment_blocks: u32,
    /// Size of a page.
    pub block_bytes: u64,
    /// Whether pages have checksums.
    pub data_checksums: bool,
    /// Names and values of settings that must be at least as large on the server that replays.
    pub settings: Vec<(String, String)>,
    /// OID and name of tablespaces.
    pub tablespaces: Vec<(u32, String)>,
    /// The tablespaces that are directories in `pg_tblspc` itself (15 and newer,
    /// `allow_in_place_tablespaces`).
    pub in_place: Vec<u32>,
    /// OID, name and tablespace of each database, except databases whose DROP was interrupted.
    pub databases: Vec<(u32, String, u32)>,
    /// Whether it is a standby.
    pub is_standby: bool,
    /// The collation versions that its indexes depend on.
    pub sorting: Sorting,
}

/// Where a server's files are.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// The data directory, on the server's own host.
    pub data_directory: PathBuf,
    /// The sum of the sizes of all databases, for progress.
    pub bytes: u64,
}

/// A backup that was started.
pub struct BaseSession {
    session: Session,
    is_standby: bool,
    /// Where replay starts.
    pub start_lsn: Lsn,
    /// Why there is no slot to keep WAL, if there is none: a long backup may then miss WAL at its end.
    pub no_slot: Option<String>,
}

/// A backup that ended.
#[derive(Clone, Debug)]
pub struct BaseEnd {
    /// Where the copy is consistent.
    pub stop_lsn: Lsn,
    /// When, by the server's clock.
    pub stopped: Timestamp,
    /// The file `backup_label`, byte for byte.
    pub label: String,
    /// The file `tablespace_map`, byte for byte; empty without tablespaces.
    pub tablespace_map: String,
    /// From the label.
    pub checkpoint_lsn: Lsn,
    /// From the label.
    pub timeline: u32,
}

impl BaseSession {
    /// Starts a backup with an immediate checkpoint. A temporary slot, which ends with the session,
    /// keeps the WAL that the backup needs.
    pub async fn start(options: &PostgresOptions, label: &str, is_standby: bool) -> Result<BaseSession> {
        let mut session = Session::maintenance(options).await?;
        session.allow(TABLE_WAIT).await?; // it waits for a checkpoint
        let slot = literal(&format!("lifeboat_base_{}", random_hex(6)));
        let sql = format!("SELECT pg_create_physical_replication_slot({slot}, true, true)");
        let no_slot = session.rows("create a temporary slot", sql).await.err().map(|e| e.causes().join("; "));
        let start = if session.version_num() >= 150_000 { "pg_backup_start" } else { "pg_start_backup" };
        let exclusive = if session.version_num() >= 150_000 { "" } else { ", exclusive => false" };
        let sql = format!("SELECT {start}({}, fast => true{exclusive})::text", literal(label));
        let row = session.row("start a base backup", sql).await.map_err(|e| {
            e.effect("nothing was read").next(
                "grant the agent's role EXECUTE on pg_backup_start and pg_backup_stop; if wal_level is minimal, set \
                 it to replica",
            )
        })?;
        let start_lsn = column::<String>(&row, 0)?.parse()?;
        Ok(BaseSession { session, is_standby, start_lsn, no_slot })
    }

    /// Ends the backup. Every file must have been read before.
    ///
    /// # Errors
    /// If the session was lost or the standby was promoted meanwhile: then there is no backup.
    pub async fn stop(&mut self) -> Result<BaseEnd> {
        let (stop, exclusive) = match self.session.version_num() >= 150_000 {
            true => ("pg_backup_stop", ""),
            false => ("pg_stop_backup", "exclusive => false, "),
        };
        let sql = format!(
            "SELECT lsn::text, labelfile, spcmapfile, (extract(epoch FROM clock_timestamp()) * 1000000)::int8, \
             pg_is_in_recovery() FROM {stop}({exclusive}wait_for_archive => false)"
        );
        let row = self.session.row("stop the base backup", sql).await.map_err(|e| {
            e.effect("there is no backup: the copy cannot be made consistent").safe("running again is safe")
        })?;
        if column::<bool>(&row, 4)? != self.is_standby {
            return Err(Error::new(Kind::Postgres, "the standby was promoted during the base backup")
                .effect("there is no backup: pages may be missing from the copy")
                .safe("running again is safe"));
        }
        let label: String = column(&row, 1)?;
        let (checkpoint_lsn, timeline) = read_label(&label)?;
        let stopped = timestamp(column(&row, 3)?)?;
        Ok(BaseEnd {
            stop_lsn: column::<String>(&row, 0)?.parse()?,
            stopped,
            label,
            tablespace_map: column::<Option<String>>(&row, 2)?.unwrap_or_default(),
            checkpoint_lsn,
            timeline,
        })
    }

    /// Ends the session, and with it the slot.
    pub async fn close(self) {
        self.session.close().await;
    }
}

/// Reads the facts that a base backup needs; any role may do it.
pub async fn ask(session: &mut Session) -> Result<BaseServer> {
    let sql = "SELECT (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size'), \
        (SELECT setting::int8 FROM pg_settings WHERE name = 'segment_size'), \
        current_setting('block_size')::int8, current_setting('data_checksums') = 'on', pg_is_in_recovery()";
    let row = session.row("read the server's settings", sql).await?;
    let number = |index| column::<i64>(&row, index).map(|n| u64::try_from(n).unwrap_or(0));
    let mut server = BaseServer {
        wal_segment_bytes: number(0)?,
        segment_blocks: u32::try_from(number(1)?).unwrap_or(0),
        block_bytes: number(2)?,
        data_checksums: column(&row, 3)?,
        is_standby: column(&row, 4)?,
        ..BaseServer::default()
    };
    if server.wal_segment_bytes == 0 || server.segment_blocks == 0 {
        return Err(Error::new(Kind::Postgres, "the server does not report its segment sizes"));
    }
    let names: Vec<String> = REPLAY_SETTINGS.iter().map(|name| literal(name)).collect();
    let sql =
        format!("SELECT name, setting FROM pg_settings WHERE name IN ({}) ORDER BY 1", names.join(", "));
    for row in session.rows("read the settings for replay", sql).await? {
        server.settings.push((column(&row, 0)?, column(&row, 1)?));
    }
    // An in-place tablespace is reported with a relative path.
    let in_place = match session.version_num() >= 150_000 {
        true => "oid >= 16384 AND pg_tablespace_location(oid) NOT LIKE '/%'",
        false => "false",
    };
    let sql = format!("SELECT oid::int8, spcname::text, {in_place} FROM pg_tablespace ORDER BY 1");
    for row in session.rows("list tablespaces", sql).await? {
        let oid = oid(&row, 0)?;
        server.tablespaces.push((oid, column(&row, 1)?));
        server.in_place.extend(column::<bool>(&row, 2)?.then_some(oid));
    }
    let sql = "SELECT oid::int8, datname::text, dattablespace::int8 FROM pg_database \
        WHERE datconnlimit <> -2 ORDER BY 1";
    for row in session.rows("list databases", sql).await? {
        server.databases.push((oid(&row, 0)?, column(&row, 1)?, oid(&row, 2)?));
    }
    server.sorting = collations::ask(session).await?;
    Ok(server)
}

/// Reads where the server's files are.
///
/// # Errors
/// `Denied` if the role may not read these settings.
pub async fn server_files(session: &mut Session) -> Result<ServerFiles> {
    session.allow(TABLE_WAIT).await?; // it looks at every file
    let sql = "SELECT current_setting('data_directory'), \
        (SELECT sum(pg_database_size(oid))::int8 FROM pg_database)";
    let row = session.row("read where the server's files are", sql).await.map_err(|e| {
        e.next("GRANT pg_read_all_settings and pg_read_all_stats to the agent's role, or make it a superuser")
    })?;
    let bytes = u64::try_from(column::<i64>(&row, 1)?).unwrap_or(0);
    Ok(ServerFiles { data_directory: column::<String>(&row, 0)?.into(), bytes })
}

/// Checks that the role may start and stop a base backup.
///
/// # Errors
/// `Denied` if it may not.
pub async fn may_start(session: &mut Session) -> Result<()> {
    let functions = match session.version_num() {
        150_000.. => ["pg_backup_start(text,boolean)", "pg_backup_stop(boolean)"],
        _ => ["pg_start_backup(text,boolean,boolean)", "pg_stop_backup(boolean,boolean)"],
    };
    let may = functions.map(|name| format!("has_function_privilege({}, 'EXECUTE')", literal(name)));
    let row = session.row("check the privileges", format!("SELECT {}", may.join(" AND "))).await?;
    match column::<bool>(&row, 0)? {
        true => Ok(()),
        false => {
            Err(Error::new(Kind::Denied, format!("the role may not execute {}", functions.join(" and "))))
        }
    }
}

/// The server's clock.
pub async fn server_time(session: &mut Session) -> Result<Timestamp> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
    timestamp(column(&session.row("read the server's clock", sql).await?, 0)?)
}

fn timestamp(microseconds: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|e| Error::new(Kind::Postgres, "the server's clock returned no valid time").because(e))
}

fn oid(row: &Row, index: usize) -> Result<u32> {
    column::<i64>(row, index).map(|oid| u32::try_from(oid).unwrap_or(0))
}

/// The checkpoint and the timeline of a `backup_label`.
pub fn read_label(label: &str) -> Result<(Lsn, u32)> {
    let line = |name: &str| label.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let found = line("CHECKPOINT LOCATION:").and_then(|text| text.parse().ok());
    found.zip(line("START TIMELINE:").and_then(|text| text.parse().ok())).ok_or_else(|| {
        Error::new(Kind::Postgres, "the server returned a backup label that cannot be parsed")
            .because(label.to_owned())
    })
}

/// The names of the WAL segments from `start` to `stop`, in order.
pub fn wal_segments(timeline: u32, start: Lsn, stop: Lsn, segment_bytes: u64) -> Vec<String> {
    let per_id = (1u64 << 32) / segment_bytes;
    let last = stop.0.saturating_sub(1).max(start.0) / segment_bytes;
    (start.0 / segment_bytes..=last)
        .map(|n| format!("{timeline:08X}{:08X}{:08X}", n / per_id, n % per_id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_segments_counted() {
        let label = "START WAL LOCATION: 0/2000028 (file 000000030000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n\
                     BACKUP METHOD: streamed\nSTART TIMELINE: 3\n";
        assert_eq!(read_label(label).unwrap(), (Lsn(0x200_0060), 3));
        assert!(read_label("nonsense").is_err());
        let names = wal_segments(3, Lsn(0xFE00_0028), Lsn(0x1_0100_0000), 16 << 20);
        assert_eq!(
            names,
            ["0000000300000000000000FE", "0000000300000000000000FF", "000000030000000100000000"]
        );
    }
}
