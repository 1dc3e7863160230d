//! Databases whose files a base backup cannot have, although nothing failed. `ALTER DATABASE … SET
//! TABLESPACE` copies a database to another directory and removes the old one while files are read. Replay
//! copies it again, from a directory that no longer exists. PostgreSQL's own base backups have the same
//! problem; nobody notices before that database is opened.
//!
//! So the backup reads the WAL that it contains, from its start to its stop. When it finds such a database,
//! it starts again.
//!
//! **WAL that cannot be read up to the stop is useless**: replay stops where we do, before the copy is
//! consistent, and PostgreSQL refuses to start from it. The WAL is damaged, or has pages of a size that
//! neither `wal push` nor this code can read. Then nothing is stored.

use std::collections::BTreeSet;

use crate::archive::wal_records::{Copied, Said, WalRecords};
use crate::backup::base::context::Context;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::{SegmentBytes, SegmentName};
use crate::postgres::session::{Session, column};

/// What the WAL of a backup says, read as it arrives.
pub struct WalWatch {
    segment_bytes: Option<SegmentBytes>,
    reader: Option<WalRecords>,
    copied: Vec<Copied>,
    /// Nothing after this position could be read: after the end of what was written, a segment holds older
    /// bytes.
    ends_at: Option<Lsn>,
}

impl WalWatch {
    /// Nothing read yet; segments have this size.
    pub fn new(segment_bytes: u64) -> WalWatch {
        let segment_bytes = SegmentBytes::try_from(segment_bytes).ok();
        WalWatch { segment_bytes, reader: None, copied: Vec::new(), ends_at: None }
    }

    /// The next bytes of a segment, from `offset` on.
    pub fn feed(&mut self, name: SegmentName, offset: u64, data: &[u8]) {
        let Some(size) = self.segment_bytes.filter(|_| self.ends_at.is_none()) else { return };
        let Some(begin) = name.begin(size) else { return };
        let at = Lsn(begin.0 + offset);
        if self.reader.as_ref().is_none_or(|reader| reader.at() != at) {
            if offset != 0 {
                return;
            }
            self.reader = Some(WalRecords::new(at, size));
        }
        let Some(reader) = &mut self.reader else { return };
        let copied = &mut self.copied;
        let mut on = |said| {
            if let Said::Copied(found) = said {
                copied.push(found);
            }
        };
        if reader.feed(data, &mut on).is_err() {
            self.ends_at = Some(at);
        }
    }

    /// What was copied from `start` to `stop`.
    ///
    /// # Errors
    /// `Integrity` where not all of that could be read.
    pub fn between(self, start: Lsn, stop: Lsn) -> Result<Vec<Copied>> {
        let WalWatch { segment_bytes, reader, mut copied, ends_at } = self;
        let mut reader = reader.ok_or_else(|| unreadable(start, start, stop))?;
        if ends_at.is_none() {
            let mut on = |said| {
                if let Said::Copied(found) = said {
                    copied.push(found);
                }
            };
            let _ = reader.finish(&mut on); // after the end of what was written
        }
        // Counts how far records came, not bytes; after the record of a switch nothing follows in its
        // segment.
        let end = match (reader.is_switched(), segment_bytes) {
            (true, Some(size)) => Lsn(reader.end().0.next_multiple_of(size.get())),
            _ => reader.end(),
        };
        if end < stop {
            return Err(unreadable(end, start, stop));
        }
        copied.retain(|copied| (start..stop).contains(&copied.lsn));
        Ok(copied)
    }
}

fn unreadable(end: Lsn, start: Lsn, stop: Lsn) -> Error {
    let what = format!(
        "the WAL of this base backup is damaged: {start} to {stop} is needed, but it can be read only up to {end}"
    );
    Error::new(Kind::Integrity, what)
        .effect("recovery would stop before the database is consistent, so this base backup was not stored")
        .next("run it again. If it fails again, check the disk and the memory of the server: pg_waldump shows where its own WAL is damaged; only a base backup that begins after that place can be restored")
        .safe("running again is safe")
}

/// Which of the copied databases this backup may have lost files of, by name.
///
/// # Errors
/// Those of the server.
pub async fn torn(context: &Context, copied: &[Copied]) -> Result<Vec<String>> {
    if copied.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = Session::maintenance(&context.job.postgres).await?;
    let sql = "SELECT oid::int8, datname::text FROM pg_catalog.pg_database";
    let rows = session.rows("list databases", sql).await?;
    session.close().await;
    let now = rows.iter().map(|row| Ok((column::<i64>(row, 0)? as u32, column::<String>(row, 1)?)));
    Ok(without_source(copied, &now.collect::<Result<Vec<_>>>()?))
}

/// A copy whose source still exists can be repeated by replay. One that replaced its source (a database that
/// was moved), and one whose source was dropped, cannot.
fn without_source(copied: &[Copied], now: &[(u32, String)]) -> Vec<String> {
    let name = |oid: u32| now.iter().find(|(known, _)| *known == oid).map(|(_, name)| name);
    let lost = copied.iter().filter(|copy| copy.database == copy.from || name(copy.from).is_none());
    // A database that was dropped as well is not missing.
    lost.filter_map(|copy| name(copy.database).cloned()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The error when it happens again.
pub fn refused(databases: &[String]) -> Error {
    let what = format!(
        "database {} was moved to another tablespace, or the database it was copied from was dropped, while \
         the base backup ran and again when it was repeated",
        databases.join(", ")
    );
    Error::new(Kind::Postgres, what)
        .effect("the restored database could not be opened, so this base backup was not stored")
        .next(
            "run it again when no ALTER DATABASE … SET TABLESPACE and no CREATE DATABASE … TEMPLATE is \
             running",
        )
        .safe("running again is safe")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_sure_as_long_as_its_source_is_there() {
        let copy = |database, from| Copied { lsn: Lsn(1), database, from };
        let now = [(1, "template1".to_owned()), (20, "moved".to_owned()), (21, "made".to_owned())];
        assert_eq!(without_source(&[copy(21, 1)], &now), [] as [&str; 0]);
        assert_eq!(without_source(&[copy(20, 20), copy(20, 20)], &now), ["moved"]);
        assert_eq!(without_source(&[copy(21, 30)], &now), ["made"], "its source was dropped");
        assert_eq!(without_source(&[copy(40, 40)], &now), [] as [&str; 0], "it was dropped itself");
    }
}
