//! What the server reports about its own archiving with `archive_command`: whether it is on, and whether it
//! works.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::names::wal::WalFile;
use crate::postgres::session::{Session, column};

/// The state of archiving in `pg_stat_archiver`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Archiver {
    /// The last file that was archived, and when.
    pub last_archived: Option<(String, Timestamp)>,
    /// The last file that could not be archived, and when.
    pub last_failed: Option<(String, Timestamp)>,
}

impl Archiver {
    /// What a person must look at. `is_stored` says whether the repository holds a file.
    pub fn problem(&self, is_stored: impl Fn(WalFile) -> bool) -> Option<String> {
        let archived = self.last_archived.as_ref().map(|(_, at)| *at);
        if let Some((file, at)) = self.last_failed.as_ref().filter(|(_, at)| Some(*at) > archived) {
            return Some(format!(
                "archive_command fails (last failure {}, file {file}) and WAL piles up in pg_wal: see the server's log",
                crate::clock::text(*at)
            ));
        }
        let (file, _) = self.last_archived.as_ref()?;
        let stored = file.parse().is_ok_and(is_stored);
        (!stored).then(|| {
            format!("archive_command archived {file}, which is not in this repository: does it call lifeboat wal push?")
        })
    }
}

/// Asks; `None` where archiving is off.
pub async fn archiver(session: &mut Session) -> Result<Option<Archiver>> {
    let sql = "SELECT current_setting('archive_mode') <> 'off' \
                      AND (current_setting('archive_command') <> '' OR coalesce(current_setting('archive_library', true), '') <> ''), \
               last_archived_wal, (extract(epoch FROM last_archived_time) * 1000000)::bigint, \
               last_failed_wal, (extract(epoch FROM last_failed_time) * 1000000)::bigint FROM pg_stat_archiver";
    let row = session.row("ask for the state of archiving", sql).await?;
    if !column::<bool>(&row, 0)? {
        return Ok(None);
    }
    let event = |name: usize, time: usize| -> Result<Option<(String, Timestamp)>> {
        let (file, at): (Option<String>, Option<i64>) = (column(&row, name)?, column(&row, time)?);
        Ok(file.zip(at.and_then(|at| Timestamp::from_microsecond(at).ok())))
    };
    Ok(Some(Archiver { last_archived: event(1, 2)?, last_failed: event(3, 4)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(file: &str, second: i64) -> Option<(String, Timestamp)> {
        Some((file.to_owned(), Timestamp::from_second(second).unwrap()))
    }

    #[test]
    fn archiving_is_well_when_the_last_word_is_a_success_and_it_is_here() {
        const FILE: &str = "000000010000000200000003";
        let archiver = |archived, failed| Archiver { last_archived: archived, last_failed: failed };
        let here = |file: WalFile| file.to_string() == FILE;
        assert_eq!(archiver(None, None).problem(here), None);
        assert_eq!(archiver(event(FILE, 20), event(FILE, 10)).problem(here), None, "it failed once");
        assert!(
            archiver(event(FILE, 10), event("x", 20))
                .problem(here)
                .unwrap()
                .contains("fails (last failure 1970")
        );
        assert!(archiver(None, event("x", 20)).problem(here).is_some());
        let elsewhere = archiver(event("000000010000000200000004", 20), None).problem(here).unwrap();
        assert!(elsewhere.contains("not in this repository"), "{elsewhere}");
    }
}
