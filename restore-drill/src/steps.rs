//! What each stage of a drill does, and its line in the report.

use std::path::{Path, PathBuf};

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::bytes_text;
use lifeboat::odoo::counters::Counters;
use lifeboat::postgres::{PostgresOptions, Tools};
use sqlx::{AssertSqlSafe, Connection};
use tokio_util::sync::CancellationToken;

use crate::accept::Acceptance;
use crate::plan::Plan;
use crate::report::Summary;
use crate::run_checks::{self, Outcome, Status};
use crate::setup::{Chosen, Setup};
use crate::snapshot::{Snapshot, WalPoint};
use crate::stages::integrity::Integrity;
use crate::stages::restore::{self, Order};
use crate::stages::scratch::{Place, Scratch};
use crate::stages::{amcheck, blobs, counters, sweep};
use crate::{say, vault};

/// The name of the restored database, the only tenant of the scratch server.
pub(crate) const DATABASE: &str = "drill";
/// The prefix of the names of all scratch directories.
pub(crate) const SCRATCH_PREFIX: &str = "restore-drill-";

/// The line about the chosen snapshot.
pub(crate) fn told(chosen: Chosen) -> (Chosen, String) {
    let snapshot = &chosen.snapshot;
    let release =
        snapshot.release.as_ref().map_or_else(String::new, |release| format!(", release {release}"));
    let note = match snapshot.replayed_to {
        Some(WalPoint { lsn, timeline }) => {
            format!("the point at {lsn} on timeline {timeline}, from {}", snapshot.id)
        }
        None => format!("snapshot {}{release}, state of {}", snapshot.id, clock::text(snapshot.point)),
    };
    (chosen, note)
}

/// Creates the scratch place, with the snapshot's version of PostgreSQL.
pub(crate) async fn make(
    plan: &Plan,
    dir: &Path,
    snapshot: &Snapshot,
) -> Result<((Scratch, PathBuf), String)> {
    for left in sweep::sweep(&plan.scratch_dir, SCRATCH_PREFIX).await? {
        match left {
            Ok(dir) => say::line(&format!("  removed {}, which a killed drill had left", dir.display())),
            Err(e) => say::line(&format!("  cannot remove what a killed drill left: {}", one_line(&e))),
        }
    }
    let where_to_look =
        PostgresOptions { bin_dir: plan.postgres_bin_dir.clone(), ..PostgresOptions::default() };
    let tools = Tools::server(&where_to_look, snapshot.postgres_major).await?;
    let secrets = [vault::secrets(&plan.config), plan.identities.clone()].concat();
    let scratch = Scratch::start(dir, &tools.dir, &secrets).await?;
    let note = format!("PostgreSQL {} in {}", snapshot.postgres_major, dir.display());
    Ok(((scratch, tools.dir), note))
}

/// Restores into the place.
pub(crate) async fn restore(
    order: &Order<'_>,
    place: &Place,
    cancel: &CancellationToken,
) -> Result<(restore::Restored, String)> {
    let on_line = |line: &str| say::indented(&format!("  | {line}"), 18);
    let restored = restore::run(order, place, cancel, on_line).await?;
    let mut note = match &restored.baseline {
        Some(baseline) => {
            format!("{} differences from the baseline of the backup", baseline.differences_count)
        }
        None => "restored, but lifeboat reported no comparison with the baseline".to_owned(),
    };
    for view in &restored.not_filled {
        note.push_str(&format!("; {view}"));
    }
    Ok((restored, note))
}

/// Compares the restored database with the counters of its point; differences join those of the baseline.
pub(crate) async fn compare(
    place: &Place,
    point: &Counters,
    restored: &mut restore::Restored,
) -> Result<((), String)> {
    let differences = counters::differences(place, DATABASE, point).await?;
    let note = format!(
        "{} differences from the {} tables and {} sequences of the source at the point",
        differences.len(),
        point.tables.len(),
        point.sequences.len()
    );
    if let Some(baseline) = &mut restored.baseline {
        baseline.add(differences);
    }
    Ok(((), note))
}

/// Checks the integrity of files, tables and indexes.
pub(crate) async fn look(place: &Place, snapshot: &Snapshot) -> Result<(Integrity, String)> {
    let mut found = Integrity::default();
    unforce(place).await?;
    let mut connection = place.connect(DATABASE).await?;
    let filestore = restore::filestore(&place.data_dir, DATABASE);
    blobs::look(&mut connection, &filestore, &snapshot.missing, &mut found).await?;
    let size = sqlx::query_scalar("SELECT pg_database_size(current_database())");
    let size: i64 = size.fetch_one(&mut connection).await.map_err(|e| {
        Error::new(Kind::Postgres, "cannot read the size of the restored database").because(e)
    })?;
    found.database_bytes = size.max(0).cast_unsigned();
    drop(connection);
    amcheck::look(place, DATABASE, &mut found).await?;
    let mut note =
        format!("{} of {} files right ({})", found.files_right, found.files, bytes_text(found.bytes));
    if found.missing_known + found.empty_absent > 0 {
        let absent = found.missing_known + found.empty_absent;
        note.push_str(&format!(", {absent} absent as expected"));
    }
    if found.elsewhere > 0 {
        note.push_str(&format!(", {} are in an object store and were not checked", found.elsewhere));
    }
    match &found.amcheck_skipped {
        Some(why) => note.push_str(&format!("; amcheck not run: {why}")),
        None => note.push_str(&format!(
            "; {} tables and {} indexes (the system's too), {} problems",
            found.tables, found.indexes, found.index_problems
        )),
    }
    Ok((found, note))
}

/// FORCE ROW LEVEL SECURITY hides a table's rows from its owner too, and all checks run as the owner. The
/// place is removed at the end, so this switches it off; that changes the catalog only.
async fn unforce(place: &Place) -> Result<()> {
    let failed = |e| Error::new(Kind::Postgres, "cannot switch off FORCE ROW LEVEL SECURITY").because(e);
    let forced = "SELECT format('ALTER TABLE ONLY %I.%I NO FORCE ROW LEVEL SECURITY', n.nspname, c.relname) \
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE c.relkind IN ('r', 'p') AND c.relforcerowsecurity";
    let mut superuser = place.connect_superuser(DATABASE).await?;
    let all: Vec<String> = sqlx::query_scalar(forced).fetch_all(&mut superuser).await.map_err(failed)?;
    for sql in all {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut superuser).await.map_err(failed)?;
    }
    superuser.close().await.map_err(failed)
}

/// Runs the business checks.
pub(crate) async fn check(place: &Place, setup: &Setup) -> Result<(Vec<Outcome>, String)> {
    let mut connection = place.connect(DATABASE).await?;
    let mut outcomes = run_checks::run(&mut connection, &setup.catalogue, setup.plan.check_timeout).await?;
    accept(&mut outcomes, &setup.plan.accepted, clock::now());
    let hard = Summary::of(&outcomes).hard;
    let noted = outcomes.iter().filter(|outcome| outcome.status == Status::Noted).count();
    let note = format!(
        "{} of {} hard checks passed, {} failed, {} accepted, {} skipped, {} in error; {noted} others noted",
        hard.passed, hard.all, hard.failed, hard.accepted, hard.skipped, hard.error
    );
    Ok((outcomes, note))
}

/// Compares what hard checks found with what the plan accepts.
fn accept(outcomes: &mut [Outcome], accepted: &[Acceptance], now: Timestamp) {
    for outcome in outcomes {
        let Some(known) = accepted.iter().find(|known| known.check == outcome.id) else { continue };
        outcome.accepted = Some(known.clone());
        match (outcome.status, outcome.violations) {
            (Status::Failed, Some(violations)) => match known.refuses(violations, now) {
                None => outcome.status = Status::Accepted,
                Some(why) => outcome.message = Some(why),
            },
            (Status::Passed, _) => {
                let what = format!(
                    "the plan accepts {} violations, but there are none any more: remove this entry from the plan",
                    known.max
                );
                outcome.message = Some(what);
            }
            _ => {} // skipped or in error: there is nothing to accept
        }
    }
}

/// An error's first line, causes and effect, for a table cell.
pub(crate) fn one_line(error: &Error) -> String {
    let mut text = error.what().to_owned();
    for cause in error.causes() {
        text.push_str(": ");
        text.push_str(&cause);
    }
    for (name, part) in [("effect", error.effect_text()), ("next", error.next_text())] {
        if let Some(part) = part {
            text.push_str(&format!("; {name}: {part}"));
        }
    }
    text.replace('\n', " | ")
}
