//! How much WAL the agent's slot keeps on the server, and how much more it may keep before the slot is lost
//! or the server's disk is full: a decision over numbers, and the queries that give them.

use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::error::Result;
use crate::names::bytes_text;
use crate::names::wal::SlotName;
use crate::postgres::control;
use crate::postgres::replication::SlotState;
use crate::postgres::session::{Session, column};

/// The runbook for all of it.
pub const RUNBOOK: &str = "runbooks/wal-slot.md";

/// From good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing to do.
    Fine,
    /// Somebody should look.
    Warning,
    /// Somebody must act now.
    Critical,
    /// Too late: the server has removed WAL that is not stored.
    Lost,
}

/// How much a slot keeps, and how much it may keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// WAL that the server keeps for it.
    pub kept_bytes: u64,
    /// WAL that can be written before the slot may be lost; `None` where there is no limit.
    pub safe_bytes: Option<u64>,
    /// Free space on the file system of `pg_wal`; `None` where that cannot be seen from here.
    pub free_bytes: Option<u64>,
    /// `max_slot_wal_keep_size`; `None` where it is unlimited.
    pub limit_bytes: Option<u64>,
    /// Percentage of what it may keep, by the limit that is reached first; `None` where neither is known.
    pub used_percent: Option<u8>,
    /// How bad that is.
    pub level: Level,
}

impl Room {
    /// Judges what the server reports. From `warn_percent` on it is a warning; from halfway between that and
    /// 100 it is critical.
    pub fn of(slot: &SlotState, limit_bytes: Option<u64>, free_bytes: Option<u64>, warn_percent: u8) -> Room {
        let kept_bytes = slot.kept_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        // Negative once the slot is about to be lost.
        let safe_bytes = slot.safe_bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0));
        let left = safe_bytes.into_iter().chain(free_bytes).min();
        let used_percent = left.map(|left| {
            let whole = u128::from(kept_bytes) + u128::from(left);
            (u128::from(kept_bytes) * 100).checked_div(whole).map_or(100, |percent| percent as u8)
        });
        let critical_percent = warn_percent + (100 - warn_percent.min(100)) / 2;
        let level = match (slot.status.as_deref(), used_percent) {
            (Some("lost"), _) => Level::Lost,
            (Some("unreserved"), _) => Level::Critical,
            (_, Some(used)) if used >= critical_percent => Level::Critical,
            (_, Some(used)) if used >= warn_percent => Level::Warning,
            _ => Level::Fine,
        };
        Room { kept_bytes, safe_bytes, free_bytes, limit_bytes, used_percent, level }
    }

    /// One sentence about it for a person.
    pub fn text(&self, slot: &SlotName) -> String {
        if self.level == Level::Lost {
            return format!("slot {slot} is lost: the server removed WAL that was not stored; see {RUNBOOK}");
        }
        let kept = format!("slot {slot} keeps {} of WAL on the server", bytes_text(self.kept_bytes));
        let by_limit = self.safe_bytes.is_some_and(|safe| self.free_bytes.is_none_or(|free| safe <= free));
        match (self.used_percent, self.safe_bytes, self.free_bytes) {
            (Some(used), Some(safe), _) if by_limit => format!(
                "{kept}, {used} % of what max_slot_wal_keep_size allows: after {} more the slot is lost",
                bytes_text(safe)
            ),
            (Some(used), _, Some(free)) => format!(
                "{kept}, {used} % of what fits on the disk of pg_wal: {} are free there",
                bytes_text(free)
            ),
            _ => format!("{kept}; the free space for more cannot be seen from here"),
        }
    }

    /// The advice where the slot may fill the disk.
    pub fn unlimited(&self, slot: &SlotName) -> Option<Advice> {
        self.limit_bytes.is_none().then(|| advice(slot, self.free_bytes.map(|free| free + self.kept_bytes)))
    }
}

/// Advice for a server whose slots keep WAL without a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What can happen.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// `disk_bytes` is the space that WAL can use on its disk.
fn advice(slot: &SlotName, disk_bytes: Option<u64>) -> Advice {
    let next = match disk_bytes.map(|bytes| (bytes / 2) >> 30) {
        Some(gib @ 1..) => {
            format!(
                "ALTER SYSTEM SET max_slot_wal_keep_size = '{gib}GB' (half of the space that WAL can use there)"
            )
        }
        _ => "set max_slot_wal_keep_size to half of the free space on the disk of pg_wal".to_owned(),
    };
    let what = format!(
        "max_slot_wal_keep_size is unlimited: while the agent or the repository is down, the replication slot ({slot}) can fill the server's disk"
    );
    Advice { what, next }
}

/// Asks the server, and looks at its disk where it is on this host.
pub async fn room(session: &mut Session, slot: &SlotState, warn_percent: u8) -> Result<Room> {
    let (limit_bytes, free_bytes) = limits(session).await?;
    Ok(Room::of(slot, limit_bytes, free_bytes, warn_percent))
}

/// The advice of [`Room::unlimited`] before there is a slot; `None` where there is a limit.
pub async fn unlimited(session: &mut Session, slot: &SlotName) -> Result<Option<Advice>> {
    let (limit_bytes, free_bytes) = limits(session).await?;
    Ok(limit_bytes.is_none().then(|| advice(slot, free_bytes)))
}

/// `max_slot_wal_keep_size`, and the free space of `pg_wal`'s file system.
async fn limits(session: &mut Session) -> Result<(Option<u64>, Option<u64>)> {
    // only pg_read_all_settings sees data_directory
    let sql = "SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), \
               (SELECT setting FROM pg_settings WHERE name = 'data_directory'), \
               (SELECT system_identifier::text FROM pg_control_system())";
    let row = session.row("ask how much WAL a slot may keep", sql).await?;
    let limit: Option<i64> = column(&row, 0)?;
    let limit = limit.and_then(|mebibytes| u64::try_from(mebibytes).ok()).map(|mebibytes| mebibytes << 20);
    let (directory, system): (Option<String>, String) = (column(&row, 1)?, column(&row, 2)?);
    Ok((limit, directory.and_then(|directory| free_beside(Path::new(&directory), &system))))
}

/// Free space on the file system of this cluster's `pg_wal`; `None` where the directory is not on this host,
/// or closed to us.
fn free_beside(data_directory: &Path, system_identifier: &str) -> Option<u64> {
    let file = disk::read(&data_directory.join("global/pg_control"), 64 << 10).ok()?;
    let ours = control::parse(&file)?.system_identifier.to_string() == system_identifier;
    let pg_wal = data_directory.join("pg_wal");
    (ours && disk::is_dir(&pg_wal)).then(|| disk::free_bytes(&pg_wal).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Lsn;

    const MIB: u64 = 1 << 20;

    fn slot(kept: u64, safe: Option<i64>, status: &str) -> SlotState {
        SlotState {
            physical: true,
            active: true,
            restart: Some(Lsn(1)),
            status: Some(status.to_owned()),
            safe_bytes: safe,
            kept_bytes: Some(kept as i64),
            server: Lsn(1 + kept),
            waited_for: false,
        }
    }

    fn level(kept: u64, safe: Option<i64>, free: Option<u64>) -> (Option<u8>, Level) {
        let room = Room::of(
            &slot(kept * MIB, safe.map(|safe| safe << 20), "reserved"),
            None,
            free.map(|free| free * MIB),
            50,
        );
        (room.used_percent, room.level)
    }

    #[test]
    fn whichever_ends_first_counts() {
        assert_eq!(level(10, None, None), (None, Level::Fine), "nothing is known");
        assert_eq!(level(10, Some(90), None), (Some(10), Level::Fine));
        assert_eq!(level(50, Some(50), None), (Some(50), Level::Warning));
        assert_eq!(level(75, Some(25), None), (Some(75), Level::Critical));
        assert_eq!(
            level(10, Some(990), Some(5)),
            (Some(66), Level::Warning),
            "the disk is fuller than the limit"
        );
        assert_eq!(level(90, Some(-5), None), (Some(100), Level::Critical));
        assert_eq!(level(0, Some(0), Some(0)), (Some(100), Level::Critical), "no room, and nothing kept");
    }

    #[test]
    fn the_servers_own_word_beats_the_numbers() {
        assert_eq!(Room::of(&slot(1, Some(1 << 30), "unreserved"), None, None, 50).level, Level::Critical);
        assert_eq!(Room::of(&slot(1, None, "lost"), None, None, 50).level, Level::Lost);
    }

    #[test]
    fn the_sentence_says_what_happens_next() {
        let name = SlotName::default();
        let room =
            Room::of(&slot(60 * MIB, Some(40 << 20), "extended"), Some(100 * MIB), Some(500 * MIB), 50);
        assert!(room.text(&name).contains("60 % of what max_slot_wal_keep_size"), "{}", room.text(&name));
        assert_eq!(room.unlimited(&name), None);
        let room = Room::of(&slot(60 * MIB, None, "extended"), None, Some(4 << 30), 50);
        assert!(room.text(&name).contains("of what fits on the disk of pg_wal"), "{}", room.text(&name));
        assert!(room.unlimited(&name).unwrap().next.contains("'2GB'"), "{:?}", room.unlimited(&name));
    }
}
