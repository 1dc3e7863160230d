//! Whether the repository holds every file that a tenant's rows name: what the agent follows is there
//! already, and what is not is stored now.
//!
//! Rows are read before the point and after it. A file that a row named at the point is in one of the two
//! lists: a row that was deleted between them was in the first.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::archive::elsewhere::Elsewheres;
use crate::backup::follow;
use crate::catalog::held::Held;
use crate::catalog::state::StateDir;
use crate::catalog::stream::{self, StreamRecord};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::odoo::attachments::each_attachment_file;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::look;
use crate::postgres::session::Session;

/// Names that are looked up at a time.
const ASKED_AT_ONCE: usize = 5_000;
/// Missing files that are remembered: more are counted only.
const MISSING_MAX: usize = 100_000;
/// How long the agent may take to store what is new, before the checkpoint stores it itself.
const AGENT_WAIT: Duration = Duration::from_secs(10);
/// How often the catalog is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The files of one tenant.
#[derive(Debug, Default)]
pub struct TenantFiles {
    /// Distinct files that its rows name.
    pub named: u64,
    /// Of these in another storage.
    pub elsewhere: u64,
    /// Of these that the repository held when it was first asked.
    pub held: u64,
    /// The snapshots and batches that hold them.
    pub homes: BTreeSet<SnapshotId>,
    /// Those that no snapshot holds, as far as they are remembered.
    pub missing: BTreeSet<String>,
    /// Whether there are more of these than are remembered.
    pub more_missing: bool,
}

/// Where files are looked up.
pub struct Lookup<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The checkpoint's state directory.
    pub state: &'a StateDir,
    /// The repository's ID.
    pub repository: &'a str,
    /// The server.
    pub postgres: &'a PostgresOptions,
}

impl Lookup<'_> {
    /// Reads the rows of a tenant and looks up each file. `broken` are snapshots that are stored no more:
    /// what only they hold is missing.
    ///
    /// # Errors
    /// Those of the server and of the catalog.
    pub async fn look(&self, tenant: &TenantName, broken: &BTreeSet<SnapshotId>) -> Result<TenantFiles> {
        let mut files = TenantFiles::default();
        let (mut lies_elsewhere, mut names) = (Elsewheres::default(), Vec::new());
        let mut session = Session::connect(self.postgres, tenant.as_str()).await?;
        look::begin(&mut session).await?;
        let dir = self.state.last_steps_dir()?;
        // The catalog is asked after the rows were read: the callback cannot wait.
        let mut spool = Spool::new(&dir)?;
        each_attachment_file(
            &mut session,
            || unnamed(&dir),
            |file| {
                files.named += 1;
                let bytes = file.file_size.unwrap_or(0);
                if lies_elsewhere.add(&file.store_fname, file.rows, bytes) {
                    files.elsewhere += 1;
                    return Ok(());
                }
                spool.add(&file.store_fname, file.file_size)
            },
        )
        .await?;
        session.close().await;
        let mut lines = spool.read()?;
        while let Some((name, bytes)) = lines.next()? {
            names.push((name, bytes));
            if names.len() == ASKED_AT_ONCE {
                self.ask(tenant, std::mem::take(&mut names), broken, &mut files).await?;
            }
        }
        self.ask(tenant, names, broken, &mut files).await?;
        Ok(files)
    }

    async fn ask(
        &self,
        tenant: &TenantName,
        names: Vec<(String, Option<u64>)>,
        broken: &BTreeSet<SnapshotId>,
        files: &mut TenantFiles,
    ) -> Result<()> {
        let wanted: HashSet<String> = names.iter().map(|(name, _)| name.clone()).collect();
        let found = self.held(tenant, &wanted).await?;
        let mut held: BTreeMap<String, Vec<SnapshotId>> = BTreeMap::new();
        for (name, home) in found.into_iter().filter(|(_, home)| !broken.contains(home)) {
            held.entry(name).or_default().push(home);
        }
        for (name, bytes) in names {
            match held.get(&name) {
                Some(homes) => {
                    files.held += 1;
                    files.homes.extend(homes.iter().cloned());
                }
                // An empty file may be absent: Odoo reads it as empty all the same.
                None if bytes == Some(0) => files.held += 1,
                None if files.missing.len() >= MISSING_MAX => files.more_missing = true,
                None => drop(files.missing.insert(name)),
            }
        }
        Ok(())
    }

    async fn held(&self, tenant: &TenantName, names: &HashSet<String>) -> Result<Vec<(String, SnapshotId)>> {
        Held::of_tenant(&self.state.held_file(), self.repository, tenant, names).await
    }

    /// Waits for the agent to store what is missing, then stores the rest. What cannot be stored stays in
    /// `missing`. Returns how many were stored meanwhile.
    ///
    /// # Errors
    /// Those of the store, of the catalog, and of the filestore as a whole.
    pub async fn store_missing(
        &self,
        tenant: &TenantName,
        files: &mut TenantFiles,
        broken: &BTreeSet<SnapshotId>,
        until: Instant,
        cancel: &CancellationToken,
    ) -> Result<u64> {
        let before = files.missing.len() as u64;
        let agent_until = until.min(clock::instant() + AGENT_WAIT);
        let follows = self.config.agent.follow_filestore && self.agent_runs()?;
        while follows && !files.missing.is_empty() && clock::instant() < agent_until {
            if cancel.is_cancelled() {
                return Err(Error::new(Kind::Interrupted, "stopped by a signal"));
            }
            clock::sleep(ASK_EVERY).await;
            self.settle(tenant, files, broken).await?;
        }
        if !files.missing.is_empty() {
            let names: Vec<String> = files.missing.iter().cloned().collect();
            let damaged: Vec<SnapshotId> = broken.iter().cloned().collect();
            follow::store_named(self.config, self.state, tenant, names, &damaged, cancel).await?;
            self.settle(tenant, files, broken).await?;
        }
        Ok(before - files.missing.len() as u64)
    }

    /// Whether an agent of this host wrote its record just now.
    fn agent_runs(&self) -> Result<bool> {
        let record = StreamRecord::read(self.config)?;
        let age = |record: StreamRecord| clock::now().duration_since(record.at);
        Ok(record.map(age).is_some_and(|age| age.unsigned_abs() <= stream::EVERY * 3))
    }

    /// Takes out of `missing` what is held by now.
    async fn settle(
        &self,
        tenant: &TenantName,
        files: &mut TenantFiles,
        broken: &BTreeSet<SnapshotId>,
    ) -> Result<()> {
        let names: HashSet<String> = files.missing.iter().cloned().collect();
        for (name, home) in self.held(tenant, &names).await? {
            if !broken.contains(&home) {
                files.missing.remove(&name);
                files.homes.insert(home);
            }
        }
        Ok(())
    }
}

/// A private file that disappears with the process.
fn unnamed(dir: &Path) -> Result<File> {
    let path = dir.join(format!("names-{}", crate::names::random_hex(8)));
    let file = crate::disk::create_new(&path, 0o600)?;
    crate::disk::remove_file(&path)?;
    Ok(file)
}

/// Names on disk: there may be millions.
struct Spool {
    out: std::io::BufWriter<File>,
}

impl Spool {
    fn new(dir: &Path) -> Result<Spool> {
        Ok(Spool { out: std::io::BufWriter::new(unnamed(dir)?) })
    }

    fn add(&mut self, name: &str, bytes: Option<u64>) -> Result<()> {
        use std::io::Write;
        serde_json::to_writer(&mut self.out, &(name, bytes))
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(spool_failed)
    }

    fn read(self) -> Result<Lines> {
        use std::io::Seek;
        let mut file = self.out.into_inner().map_err(|e| spool_failed(e.into_error()))?;
        file.rewind().map_err(spool_failed)?;
        Ok(Lines(std::io::BufReader::new(file)))
    }
}

struct Lines(std::io::BufReader<File>);

impl Lines {
    fn next(&mut self) -> Result<Option<(String, Option<u64>)>> {
        use std::io::BufRead;
        let mut line = String::new();
        match self.0.read_line(&mut line).map_err(spool_failed)? {
            0 => Ok(None),
            _ => serde_json::from_str(&line)
                .map(Some)
                .map_err(|e| Error::new(Kind::Internal, "the list of names is damaged").because(e)),
        }
    }
}

fn spool_failed(e: std::io::Error) -> Error {
    Error::new(Kind::Io, "cannot keep the list of file names in the state directory").because(e)
}
