//! What each stage of a drill does, and the line that it leaves in the report.

use std::path::{Path, PathBuf};

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::bytes_text;
use lifeboat::postgres::{PostgresOptions, Tools};
use sqlx::{AssertSqlSafe, Connection};
use tokio_util::sync::CancellationToken;

use crate::accept::Acceptance;
use crate::plan::Plan;
use crate::report::Summary;
use crate::run_checks::{self, Outcome, Status};
use crate::setup::{Chosen, Setup};
use crate::snapshot::Snapshot;
use crate::stages::integrity::Integrity;
use crate::stages::restore::{self, Order};
use crate::stages::scratch::{Place, Scratch};
use crate::stages::{amcheck, blobs, sweep};
use crate::{say, vault};

/// The name of the restored database: the scratch server holds no other.
pub(crate) const DATABASE: &str = "drill";
/// The scratch directories of all drills begin with this.
pub(crate) const SCRATCH_PREFIX: &str = "restore-drill-";

/// Tells which snapshot was found.
pub(crate) fn told(chosen: Chosen) -> (Chosen, String) {
    let snapshot = &chosen.snapshot;
    let release =
        snapshot.release.as_ref().map_or_else(String::new, |release| format!(", release {release}"));
    let note = format!("snapshot {}{release}, point {}", snapshot.id, clock::text(snapshot.point));
    (chosen, note)
}

/// Makes the place, of the snapshot's version of PostgreSQL.
pub(crate) async fn make(
    plan: &Plan,
    dir: &Path,
    snapshot: &Snapshot,
) -> Result<((Scratch, PathBuf), String)> {
    for left in sweep::sweep(&plan.scratch_dir, SCRATCH_PREFIX).await? {
        match left {
            Ok(dir) => say::line(&format!("  removed {}, left by a drill that was killed", dir.display())),
            Err(e) => say::line(&format!("  what a killed drill left is still there: {}", one_line(&e))),
        }
    }
    let where_to_look =
        PostgresOptions { bin_dir: plan.postgres_bin_dir.clone(), ..PostgresOptions::default() };
    let tools = Tools::server(&where_to_look, snapshot.postgres_major).await?;
    let scratch = Scratch::start(dir, &tools.dir, &vault::secrets(&plan.config)).await?;
    let note = format!("PostgreSQL {} in {}", snapshot.postgres_major, dir.display());
    Ok(((scratch, tools.dir), note))
}

/// Restores into the place.
pub(crate) async fn restore(
    order: &Order<'_>,
    place: &Place,
    cancel: &CancellationToken,
) -> Result<(restore::Restored, String)> {
    let on_line = |line: &str| say::line(&format!("  | {line}"));
    let restored = restore::run(order, place, cancel, on_line).await?;
    let mut note = match &restored.baseline {
        Some(baseline) => format!("{} differences to the baseline of the backup", baseline.differences_count),
        None => "restored; it did not say that it compared with the baseline".to_owned(),
    };
    for view in &restored.not_filled {
        note.push_str(&format!("; {view}"));
    }
    Ok((restored, note))
}

/// Looks whether files, tables and indexes are whole.
pub(crate) async fn look(place: &Place, snapshot: &Snapshot) -> Result<(Integrity, String)> {
    let mut found = Integrity::default();
    unforce(place).await?;
    let mut connection = place.connect(DATABASE).await?;
    let filestore = restore::filestore(&place.data_dir, DATABASE);
    blobs::look(&mut connection, &filestore, &snapshot.missing, &mut found).await?;
    drop(connection);
    amcheck::look(place, DATABASE, &mut found).await?;
    let mut note =
        format!("{} of {} files right ({})", found.files_right, found.files, bytes_text(found.bytes));
    if found.missing_known + found.empty_absent > 0 {
        let absent = found.missing_known + found.empty_absent;
        note.push_str(&format!(", {absent} absent as expected"));
    }
    if found.elsewhere > 0 {
        note.push_str(&format!(", {} lie in an object store and were not looked at", found.elsewhere));
    }
    match &found.amcheck_skipped {
        Some(why) => note.push_str(&format!("; amcheck not run: {why}")),
        None => note.push_str(&format!(
            "; {} tables and {} indexes, {} problems",
            found.tables, found.indexes, found.index_problems
        )),
    }
    Ok((found, note))
}

/// A table with FORCE ROW LEVEL SECURITY hides its rows from its owner, too, as whom all looks and checks run. The
/// place is thrown away, so it is forced no more; that touches the catalog only.
async fn unforce(place: &Place) -> Result<()> {
    let failed = |e| Error::new(Kind::Postgres, "cannot look behind row security").because(e);
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

/// Holds what hard checks found against what the plan accepts.
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
                let what = format!("the plan accepts {} violations, and there is none any more", known.max);
                outcome.message = Some(what);
            }
            _ => {} // skipped or in error: nothing was found that could be accepted
        }
    }
}

/// First line, causes and effect of an error, for a table cell.
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
