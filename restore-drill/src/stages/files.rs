//! Compares every file that the restored database names with the database.

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::Result;
use lifeboat::names::bytes_text;
use lifeboat::postgres::session::column;

use crate::drill::stage::Stage;
use crate::place::Room;
use crate::plan::accept::Acceptance;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::report::integrity::Integrity;
use crate::snapshot::Snapshot;
use crate::stages::blobs;

/// The part of a drill that reads the files.
pub const FILES: &str = "files";

/// Every file, and the size of the database.
pub struct Files<'a> {
    /// Where the tenant is.
    pub room: &'a Room,
    /// Says which files the backup does not contain.
    pub snapshot: &'a Snapshot,
    /// The moment of the restored filestore, if it is not that of the database.
    pub filestore_of: Option<Timestamp>,
    /// How many missing files the plan accepts.
    pub accepted: Option<&'a Acceptance>,
}

impl Stage for Files<'_> {
    const NAME: &'static str = "files";
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let Files { room, snapshot, filestore_of, accepted } = self;
        unforce(room).await?;
        let mut found = Integrity::default();
        let mut session = room.connect(&room.database).await?;
        let (filestore, missing) = (room.filestore(&room.database), &snapshot.missing);
        blobs::look(&mut session, &filestore, missing, filestore_of, &mut found).await?;
        let size = "SELECT pg_database_size(current_database())";
        let size: i64 = column(&session.row("read the size of the restored database", size).await?, 0)?;
        found.database_bytes = size.max(0).cast_unsigned();
        session.close().await;
        report.findings.extend(findings(&found, snapshot, accepted, clock::now()));
        let mut note =
            format!("{} of {} files right ({})", found.files_right, found.files, bytes_text(found.bytes));
        if found.empty_absent > 0 {
            note.push_str(&format!(", {} empty ones absent, as Odoo leaves them", found.empty_absent));
        }
        if found.elsewhere > 0 {
            note.push_str(&format!(", {} are in an object store and were not checked", found.elsewhere));
        }
        report.integrity = Some(found);
        Ok(((), note))
    }
}

fn findings(
    found: &Integrity,
    snapshot: &Snapshot,
    accepted: Option<&Acceptance>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut all = missing(found, accepted, now);
    for (count, what) in [
        (found.wrong_size, "files do not have the size that the database says"),
        (found.wrong_content, "files have content that does not match their name (SHA-1)"),
        (found.unreadable, "files could not be read"),
        (found.bad_names, "attachments name a file with a name that Odoo never gives"),
    ] {
        if count > 0 {
            all.push(Finding::new(FILES, State::Failed, format!("{count} {what}")));
        }
    }
    if found.elsewhere > 0 {
        let what = format!("{} files are in an object store, which is not backed up", found.elsewhere);
        all.push(Finding::new(FILES, State::NotRun, what));
    }
    if found.later > 0 {
        let what = format!(
            "{} files were written after the backup of the filestore: they are not in a restore of the whole instance, but may be in \
             one of the tenant",
            found.later
        );
        all.push(Finding::new(FILES, State::NotRun, what));
    }
    if snapshot.replayed_to.is_none() && snapshot.filestore.is_none() {
        let what = "the filestore as a whole: the snapshot contains the database only";
        all.push(Finding::new(FILES, State::NotRun, what));
    }
    if all.is_empty() {
        all.push(Finding::new(FILES, State::Done, format!("all {} files are right", found.files)));
    }
    all
}

/// A document that is lost is lost, also if the backup said so: only a person may accept it.
fn missing(found: &Integrity, accepted: Option<&Acceptance>, now: Timestamp) -> Vec<Finding> {
    let count = found.missing + found.missing_known;
    if count == 0 {
        return Vec::new();
    }
    let mut what = format!("{count} referenced files are missing");
    if found.missing_known > 0 {
        let known = found.missing_known;
        what.push_str(&format!(
            "; of {known} of them the backup says that they were lost or unreadable on the source"
        ));
    }
    let state = match accepted.map(|known| (known, known.refuses(count, now))) {
        None => State::Failed,
        Some((_, Some(why))) => {
            what.push_str(&format!(" ({why})"));
            State::Failed
        }
        Some((known, None)) => {
            let (max, day, why) = (known.max, known.last_day(), &known.reason);
            what.push_str(&format!(": accepted (at most {max}, until {day}): {why}"));
            State::Done
        }
    };
    vec![Finding::new(FILES, state, what)]
}

/// FORCE ROW LEVEL SECURITY hides a table's rows from its owner too, and all checks run as the owner. The
/// room is removed at the end, so this switches it off; that changes the catalog only.
async fn unforce(room: &Room) -> Result<()> {
    let what = "switch off FORCE ROW LEVEL SECURITY";
    let forced = "SELECT format('ALTER TABLE ONLY %I.%I NO FORCE ROW LEVEL SECURITY', n.nspname, c.relname) \
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE c.relkind IN ('r', 'p') AND c.relforcerowsecurity";
    let mut superuser = room.connect_superuser(&room.database).await?;
    for row in superuser.rows(what, forced).await? {
        superuser.execute(what, column::<String>(&row, 0)?).await?;
    }
    superuser.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_files_fail_whoever_lost_them_unless_a_person_accepts_so_many() {
        let found = Integrity { files: 9, missing: 1, missing_known: 2, ..Integrity::default() };
        let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let until: Timestamp = "2027-01-31T23:59:59Z".parse().unwrap();
        let known = |max| Acceptance { check: FILES.into(), max, reason: "shredded".into(), until };
        let of = |accepted: Option<&Acceptance>| missing(&found, accepted, now).remove(0);
        assert_eq!(of(None).state, State::Failed);
        assert!(of(None).what.starts_with("3 referenced files are missing; of 2 of them"), "{:?}", of(None));
        assert_eq!(of(Some(&known(2))).state, State::Failed);
        assert_eq!(of(Some(&known(3))).state, State::Done);
        assert!(of(Some(&known(3))).what.contains("accepted (at most 3, until 2027-01-31): shredded"));
        assert!(missing(&Integrity { files: 9, ..Integrity::default() }, None, now).is_empty());
    }
}
