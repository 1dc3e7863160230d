//! Recovers the scratch cluster and takes from it the dump, the baseline and the names of the files.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::DUMP_PATH;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::Action;
use crate::names::{TenantName, shell_word};
use crate::odoo::baseline::Baseline;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::dump::DumpChild;
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};
use crate::postgres::snapshot::{Exported, SnapshotSession};
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::instance;
use crate::recovery::instance::narrow::database;
use crate::recovery::instance::start::{Started, start_and_wait};
use crate::recovery::named_files::{NamedFiles, named_files};
use crate::recovery::stopwatch::Stopwatch;
use crate::recovery::workplace::Workplace;

/// How many pages an error names.
const PAGES_TOLD_MAX: usize = 5;

/// What the scratch cluster provided.
pub struct Recovered {
    /// The properties of the database.
    pub oid: u32,
    /// Where replay ended.
    pub started: Started,
    /// The baseline of the tenant.
    pub baseline: Baseline,
    /// The files that its rows name.
    pub files: NamedFiles,
}

/// The outcome.
pub enum Outcome {
    /// The dump is in the work directory.
    Dumped(Box<Recovered>),
    /// At the target, another database of the base backup had the name, and its files are not here: repeat it
    /// with these.
    Another(u32),
    /// It cannot be read: perhaps replay copied it, after or during the base backup, from files that are
    /// not here.
    Unreadable(u32, Error),
}

/// What this needs.
pub struct Recovery<'a> {
    pub(super) config: &'a Config,
    pub(super) tenant: &'a TenantName,
    pub(super) work: &'a Workplace,
    /// Programs of the base backup's major version.
    pub(super) server_tools: &'a Tools,
    /// Programs of the target server's major version.
    pub(super) tools: &'a Tools,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
    pub(super) watch: &'a Stopwatch,
}

impl Recovery<'_> {
    /// Restores the files, recovers and dumps; also returns the fetched bytes of the base backup.
    pub async fn run(&self, prepared: &Arc<instance::plan::Prepared>) -> Result<(Outcome, u64)> {
        let Recovery { config, progress, cancel, watch, .. } = *self;
        let Some(narrowed) = &prepared.narrowed else {
            return Err(Error::new(Kind::Internal, "a scratch cluster with every database"));
        };
        let (had, whole) = (narrowed.oid, narrowed.whole.clone());
        let in_base: BTreeSet<u32> = prepared.layout.databases.iter().map(|d| d.oid).collect();
        let restored = instance::apply::apply(prepared, progress, cancel);
        let instance::apply::InstanceRestored { plan, fetched_bytes, .. } =
            watch.time("fetch base backup", restored).await?;
        let end = (Action::Promote, prepared.feed.as_ref());
        let started = start_and_wait(config, &plan, self.server_tools, end, progress, cancel);
        let started = watch.time("recover", started).await?;
        check_pages(&started.log, &whole)?;
        let options = PostgresOptions {
            host: Some(started.socket_dir.display().to_string()),
            port: started.port,
            user: started.role.clone(),
            maintenance_database: config.postgres.maintenance_database.clone(),
            stop: cancel.clone(),
            ..PostgresOptions::default()
        };
        let oid = self.find(&options, had).await?;
        if Some(oid) != had && in_base.contains(&oid) {
            return Ok((Outcome::Another(oid), fetched_bytes));
        }
        match watch.time("dump", self.dump(&options)).await {
            Ok((baseline, files)) => {
                Ok((Outcome::Dumped(Box::new(Recovered { oid, started, baseline, files })), fetched_bytes))
            }
            Err(e) if e.kind() == Kind::Postgres => Ok((Outcome::Unreadable(oid, e), fetched_bytes)),
            Err(e) => Err(e),
        }
    }

    /// The database with the tenant's name at the target.
    async fn find(&self, options: &PostgresOptions, had: Option<u32>) -> Result<u32> {
        let mut session = Session::maintenance(options).await?;
        let sql =
            "SELECT oid::bigint, datname::text FROM pg_database WHERE NOT datistemplate ORDER BY datname";
        let rows = session.rows("list the databases", sql).await?;
        session.close().await;
        let all = rows.iter().map(|row| Ok((column::<i64>(row, 0)? as u32, column::<String>(row, 1)?)));
        let all = all.collect::<Result<Vec<_>>>()?;
        if let Some((oid, _)) = all.iter().find(|(_, name)| name == self.tenant.as_str()) {
            return Ok(*oid);
        }
        let names = all.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
        let error =
            Error::new(Kind::NotFound, format!("database {} did not exist at the target", self.tenant))
                .because(format!("these databases existed: {names}"));
        Err(match all.iter().find(|(oid, _)| Some(*oid) == had) {
            Some((_, name)) => error.next(format!(
                "it was renamed: run the same command with --tenant {}",
                shell_word(name.as_str())
            )),
            None => error.next("choose an earlier target, or another name: names are those at the target"),
        })
    }

    /// Takes dump, baseline and names of the same state.
    async fn dump(&self, options: &PostgresOptions) -> Result<(Baseline, NamedFiles)> {
        let tenant = self.tenant.as_str();
        self.progress.stage(format!("{tenant}: dumping"));
        self.end_prepared(options).await?;
        let mut frozen = SnapshotSession::begin(options, tenant).await?;
        let dump = self.dump_to(options, &frozen.exported);
        tokio::select! {
            done = dump => done?,
            () = self.cancel.cancelled() => {
                return Err(Error::new(Kind::Interrupted, "the restore was stopped"));
            }
        }
        let baseline = Baseline::take(&mut frozen.session).await?;
        let files = named_files(&mut frozen.session, self.work).await?;
        frozen.end().await?;
        Ok((baseline, files))
    }

    /// Rolls back what was prepared and not committed at the target (two-phase commit): it survives recovery,
    /// is no part of the result, and the dump would wait for its locks.
    async fn end_prepared(&self, options: &PostgresOptions) -> Result<()> {
        let mut session = Session::connect(options, self.tenant.as_str()).await?;
        let sql = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()";
        for row in session.rows("list the prepared transactions", sql).await? {
            let sql = format!("ROLLBACK PREPARED {}", literal(&column::<String>(&row, 0)?));
            session.execute("roll back a prepared transaction", sql).await?;
        }
        session.close().await;
        Ok(())
    }

    async fn dump_to(&self, options: &PostgresOptions, exported: &Exported) -> Result<()> {
        self.work.remove()?;
        let (dir, path) = (self.work.open()?, self.work.dir.join(DUMP_PATH));
        let parent = Path::new(DUMP_PATH).parent().unwrap_or(Path::new(""));
        let made = dir.make_dirs(parent, 0o700, None).and_then(|()| dir.create_new(Path::new(DUMP_PATH)));
        let mut out = tokio::fs::File::from_std(made.map_err(|e| Error::file("create", &path, e))?);
        let mut dump = DumpChild::start(self.tools, options, self.tenant.as_str(), Some(exported))?;
        let mut stdout = dump.take_stdout()?;
        let copied = async {
            tokio::io::copy(&mut stdout, &mut out).await?;
            tokio::io::AsyncWriteExt::flush(&mut out).await
        };
        copied.await.map_err(|e| Error::file("write", &path, e))?;
        dump.finish().await?;
        Ok(())
    }
}

/// Replay skips missing pages: this is right for files that were left empty, but an error for all others.
fn check_pages(log: &Path, whole: &BTreeSet<u32>) -> Result<()> {
    let mut bad = Vec::new();
    for line in BufReader::new(disk::open(log)?).split(b'\n') {
        let line = line.map_err(|e| Error::file("read", log, e))?;
        let line = String::from_utf8_lossy(&line);
        if let Some(page) =
            skipped(&line).filter(|path| database(path).is_none_or(|oid| whole.contains(&oid)))
        {
            bad.push(page.to_owned());
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    bad.dedup();
    let told = bad.iter().take(PAGES_TOLD_MAX).cloned().collect::<Vec<_>>().join(", ");
    Err(Error::new(Kind::Integrity, "the base backup lacks pages that WAL replay needed")
        .because(format!("in {told}"))
        .next("restore another base backup with --snapshot; to find the damage, run lifeboat verify --deep --identity FILE"))
}

/// The file in PostgreSQL's message `page 7 of relation base/16384/2619 is uninitialized` (or `does not
/// exist`); the name of a fork follows after another underscore.
fn skipped(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(" of relation ")?;
    let (path, rest) = rest.split_once(' ')?;
    (rest.starts_with("is uninitialized") || rest.starts_with("does not exist")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_replay_passed_over_are_told_by_file() {
        let line = "2026-11-20 [7] WARNING:  page 0 of relation base/16384/2619 is uninitialized";
        assert_eq!(skipped(line), Some("base/16384/2619"));
        let line = "WARNING:  page 3 of relation pg_tblspc/1/PG_15_202209061/5/77_vm does not exist";
        assert_eq!(skipped(line).and_then(database), Some(5));
        assert_eq!(skipped("LOG:  redo starts at 0/2000028"), None);
    }
}
