//! pg_restore of a dump file into a database that was made for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::postgres::child::Program;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::tools::Tools;

/// A bound for a hang, not for work: progress is what tells a slow restore from a stuck one.
const RESTORE_WAIT: Duration = Duration::from_secs(7 * 86_400);
const LIST_WAIT: Duration = Duration::from_secs(600);
const LIST_BYTES_MAX: u64 = 256 << 20;
const JOBS_MAX: u32 = 64;

/// What to restore, and how.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The dump, in pg_dump's custom format.
    pub dump: std::path::PathBuf,
    /// The database to fill; it must be empty.
    pub database: String,
    /// Parallel connections, at least 1.
    pub jobs: u32,
    /// Leave owners and rights out: all belongs to the role that restores, or to `role`.
    pub no_owner: bool,
    /// `SET ROLE` to this one before anything is created.
    pub role: Option<String>,
    /// Some of the dump's entries; all where `None`.
    pub only: Option<Only>,
}

/// Entries to restore.
#[derive(Clone, Debug)]
pub struct Only {
    /// The file for `--use-list`.
    pub list: std::path::PathBuf,
    /// How many there are in it.
    pub entries: u64,
}

/// How far a restore is: entries of the dump's table of contents, counted as pg_restore begins them.
#[derive(Clone, Debug, Default)]
pub struct RestoreProgress {
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
}

impl RestoreProgress {
    /// (begun, all); `all` is 0 until the table of contents was read.
    pub fn read(&self) -> (u64, u64) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(total), total)
    }
}

impl Restore {
    /// Runs pg_restore with `--exit-on-error`; the warnings it gave. On cancellation its queries
    /// are cancelled in the server and all its processes ended.
    ///
    /// # Errors
    /// `Postgres` with pg_restore's own words; `Interrupted` on cancellation. The database is half
    /// filled then: drop it.
    pub async fn run(
        &self,
        tools: &Tools,
        options: &PostgresOptions,
        progress: RestoreProgress,
        cancel: &CancellationToken,
    ) -> Result<Vec<String>> {
        let all = match &self.only {
            Some(only) => only.entries,
            None => toc_entries(tools, &self.dump).await?,
        };
        progress.total.store(all, Ordering::Relaxed);
        let mut command = options.command(tools, &tools.pg_restore(), &self.database)?;
        command.arg(PostgresOptions::dbname_flag(&self.database));
        command.args(["--format=custom", "--exit-on-error", "--verbose"]);
        command.arg(format!("--jobs={}", self.jobs.clamp(1, JOBS_MAX)));
        if self.no_owner {
            command.args(["--no-owner", "--no-privileges"]);
        }
        if let Some(role) = &self.role {
            command.arg(format!("--role={role}"));
        }
        if let Some(only) = &self.only {
            command.arg("--use-list").arg(&only.list);
        }
        command.arg("--").arg(&self.dump);
        let label = format!("pg_restore into {}", options.place(&self.database));
        let done = progress.done.clone();
        let on_line = Box::new(move |line: &str| {
            if begins_entry(line) {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        let program = Program::start(command, label.clone(), false, false, Some(on_line))?;
        let half = |e: Error| e.effect(format!("database {:?} is half filled", self.database));
        let stderr = program.finish_or_cancel(RESTORE_WAIT, cancel).await.map_err(half)?;
        progress.done.store(progress.total.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(stderr.warnings())
    }
}

/// What pg_restore says under `--verbose` when it turns to an entry, alone or in a worker.
fn begins_entry(line: &str) -> bool {
    ["pg_restore: creating ", "pg_restore: processing data for table ", "pg_restore: executing "]
        .iter()
        .any(|begin| line.starts_with(begin))
}

/// Entries of a dump's table of contents.
///
/// # Errors
/// `Integrity` where the file is not a dump that this pg_restore can read.
pub async fn toc_entries(tools: &Tools, dump: &Path) -> Result<u64> {
    let mut command = Command::new(tools.pg_restore());
    command.args(["--format=custom", "--list", "--"]).arg(dump).env("LC_ALL", "C");
    let label = format!("pg_restore --list of {}", dump.display());
    let mut program = Program::start(command, label, false, true, None)?;
    let mut entries = 0;
    if let Some(stdout) = program.stdout() {
        use tokio::io::AsyncReadExt;
        let mut list = Vec::new();
        let mut stdout = stdout.take(LIST_BYTES_MAX);
        if let Ok(Err(e)) = tokio::time::timeout(LIST_WAIT, stdout.read_to_end(&mut list)).await {
            return Err(Error::new(Kind::Io, "cannot read the output of pg_restore --list").because(e));
        }
        entries = list.split(|b| *b == b'\n').filter(|l| l.first().is_some_and(u8::is_ascii_digit)).count();
    }
    program.finish(LIST_WAIT).await.map_err(|e| e.with_kind(Kind::Integrity))?;
    Ok(entries as u64)
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
