//! Runs pg_restore of a dump file into a database that was created for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::postgres::child::Program;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::load::toc;
use crate::postgres::restore_failures::{Failure, Failures};
use crate::postgres::tools::Tools;

/// A limit for a hang, not for work: progress shows whether a restore is slow or stuck.
const RESTORE_WAIT: Duration = Duration::from_secs(7 * 86_400);
const JOBS_MAX: u32 = 64;

/// What to restore, and how.
#[derive(Clone, Debug, Default)]
pub struct Restore {
    /// The dump, in pg_dump's custom format.
    pub dump: std::path::PathBuf,
    /// The database to fill; it must be empty.
    pub database: String,
    /// Parallel connections, at least 1.
    pub jobs: u32,
    /// Leave out owners: everything belongs to the role that restores, or to `role`.
    pub no_owner: bool,
    /// Put everything into the database's own tablespace.
    pub no_tablespaces: bool,
    /// Continue after an entry that cannot be created.
    pub goes_on: bool,
    /// Run `SET ROLE` to this role before anything is created.
    pub role: Option<String>,
    /// The entries to restore; all if `None`.
    pub only: Option<Only>,
}

/// How a restore ended.
#[derive(Clone, Debug)]
pub enum Ran {
    /// It reached the end, with these warnings and, if it was to continue after failures, without these
    /// entries.
    Done(Vec<String>, Vec<Failure>),
    /// It reached the end, but it is unclear which entries failed; with one job it would be clear.
    Unclear,
}

/// Entries to restore.
#[derive(Clone, Debug)]
pub struct Only {
    /// The file for `--use-list`.
    pub list: std::path::PathBuf,
    /// How many there are in it.
    pub entries: u64,
}

/// The progress of a restore: entries of the dump's table of contents, counted when pg_restore begins them.
#[derive(Clone, Debug, Default)]
pub struct RestoreProgress {
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
}

impl RestoreProgress {
    /// (begun, all); `all` is 0 before the table of contents is read.
    pub fn read(&self) -> (u64, u64) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(total), total)
    }
}

impl Restore {
    /// Runs pg_restore without privileges (they are always set separately). On cancellation its queries are
    /// cancelled in the server and all its processes are ended.
    ///
    /// # Errors
    /// `Postgres` with pg_restore's own message; `Interrupted` on cancellation. The database is then
    /// incomplete: drop it.
    pub async fn run(
        &self,
        tools: &Tools,
        options: &PostgresOptions,
        progress: RestoreProgress,
        cancel: &CancellationToken,
    ) -> Result<Ran> {
        let entries = match &self.only {
            Some(only) => only.entries,
            None => toc::read(&self.dump)?.len() as u64,
        };
        progress.total.store(entries, Ordering::Relaxed);
        let mut command = options.command(tools, &tools.pg_restore(), &self.database)?;
        command.arg(PostgresOptions::dbname_flag(&self.database));
        command.args(["--format=custom", "--verbose", "--no-privileges"]);
        command.arg(format!("--jobs={}", self.jobs.clamp(1, JOBS_MAX)));
        for (flag, wanted) in [
            ("--exit-on-error", !self.goes_on),
            ("--no-owner", self.no_owner),
            ("--no-tablespaces", self.no_tablespaces),
        ] {
            command.args(wanted.then_some(flag));
        }
        if let Some(role) = &self.role {
            command.arg(format!("--role={role}"));
        }
        if let Some(only) = &self.only {
            command.arg("--use-list").arg(&only.list);
        }
        command.arg("--").arg(&self.dump);
        let label = format!("pg_restore into {}", options.place(&self.database));
        let (done, failures) = (progress.done.clone(), Failures::default());
        let read = failures.clone();
        let on_line = Box::new(move |line: &str| {
            if begins_entry(line) {
                done.fetch_add(1, Ordering::Relaxed);
            }
            read.line(line);
        });
        let program = Program::start(command, label.clone(), false, false, Some(on_line))?;
        let half = |e: Error| e.effect(format!("database {:?} is incomplete", self.database));
        let ended = program.finish_or_cancel(RESTORE_WAIT, cancel).await;
        let ran = match ended {
            // No error, even if its processes mixed their lines.
            Ok(stderr) => Ran::Done(stderr.warnings(), Vec::new()),
            // Its exit code also reports errors after which it continued.
            Err(e) if self.goes_on && failures.ended() && e.kind() == Kind::Postgres => {
                failures.all().map_or(Ran::Unclear, |failed| Ran::Done(Vec::new(), failed))
            }
            Err(e) => return Err(half(e)),
        };
        progress.done.store(progress.total.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(ran)
    }
}

/// What pg_restore prints with `--verbose` when it begins an entry, alone or in a worker.
fn begins_entry(line: &str) -> bool {
    ["pg_restore: creating ", "pg_restore: processing data for table ", "pg_restore: executing "]
        .iter()
        .any(|begin| line.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_passes_its_total() {
        assert!(begins_entry("pg_restore: creating TABLE \"public.res_partner\""));
        assert!(begins_entry("pg_restore: processing data for table \"public.res_partner\""));
        assert!(!begins_entry("pg_restore: launching item 3 TABLE DATA x"));
        let progress = RestoreProgress::default();
        progress.done.store(5, Ordering::Relaxed);
        progress.total.store(3, Ordering::Relaxed);
        assert_eq!(progress.read(), (3, 3));
    }
}
