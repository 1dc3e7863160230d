//! The database's half of a restore: dump out of its packs, into a hidden database, compared with
//! its baseline, neutralized; opened under its name by [`publish`] only.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::DUMP_PATH;
use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::baseline::Baseline;
use crate::odoo::compare::compare;
use crate::odoo::neutralize;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::create::{Publication, create_restore_database, publish_database};
use crate::postgres::database::{database_comment, database_exists, drop_database_if_marked};
use crate::postgres::quote::{ident, literal};
use crate::postgres::restore::{Restore, RestoreProgress};
use crate::postgres::session::Session;
use crate::postgres::settings::apply_settings;
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::apply::Stopwatch;
use crate::recovery::extract::{Extract, extract};
use crate::recovery::plan::Prepared;
use crate::recovery::wanted::Wanted;
use crate::recovery::workplace::Workplace;

const TELL_EVERY: Duration = Duration::from_millis(500);
/// Differences that an error names.
const DIFFERENCES_TOLD_MAX: usize = 5;

/// The comparison with the baseline.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Tables compared.
    pub tables: usize,
    /// Sentences; empty in a restore that succeeded.
    pub differences: Vec<String>,
}

/// What neutralizing did.
#[derive(Debug, Clone, Serialize)]
pub struct Silenced {
    /// Statement and rows changed.
    pub applied: Vec<(String, u64)>,
    /// The copy's own `database.uuid`.
    pub database_uuid: String,
    /// Columns of unknown modules that look like credentials and still hold something.
    pub unknown_secrets: Vec<String>,
}

/// What came of it; the database is whole and still hidden.
pub struct Loaded {
    pub(super) compared: Compared,
    pub(super) silenced: Option<Silenced>,
    pub(super) warnings: Vec<String>,
}

/// Everything that filling a new database takes, wherever its dump comes from.
pub(super) struct Fill<'a> {
    pub(super) database: &'a TenantName,
    pub(super) incomplete: &'a str,
    pub(super) owner: &'a str,
    /// The role that gets everything, where one was asked for.
    pub(super) by_owner: Option<&'a str>,
    pub(super) neutralize: bool,
    pub(super) base_url: Option<&'a str>,
    pub(super) work: &'a Workplace,
    pub(super) baseline: &'a Baseline,
    pub(super) postgres: &'a PostgresOptions,
    pub(super) tools: &'a Tools,
    pub(super) jobs: u32,
}

impl Prepared {
    fn fill(&self) -> Fill<'_> {
        Fill {
            database: &self.plan.database,
            incomplete: &self.plan.incomplete_database,
            owner: &self.plan.owner,
            by_owner: self.request.owner.as_deref(),
            neutralize: self.plan.neutralize,
            base_url: self.request.base_url.as_deref(),
            work: &self.work,
            baseline: &self.baseline,
            postgres: &self.postgres,
            tools: &self.tools,
            jobs: self.jobs,
        }
    }
}

/// Fetches, loads, compares, neutralizes.
pub async fn load(
    prepared: &Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
    watch: &Stopwatch,
) -> Result<Loaded> {
    watch.time("fetch dump", spool(prepared, progress, cancel)).await?;
    prepared.fill().load(progress, cancel, watch).await
}

/// Gives the database its name. What it says of settings that were refused are warnings.
pub async fn publish(prepared: &Prepared) -> Result<Vec<String>> {
    prepared.fill().publish().await
}

impl Fill<'_> {
    fn marker(&self) -> String {
        format!("lifeboat: incomplete restore as {}", self.database)
    }

    /// Loads the dump that lies in the work directory into the hidden database, compares it with the
    /// baseline, neutralizes it.
    pub(super) async fn load(
        &self,
        progress: &Progress,
        cancel: &CancellationToken,
        watch: &Stopwatch,
    ) -> Result<Loaded> {
        let half = |e: Error| {
            e.effect(format!("what was made so far is left, hidden, as database {}", self.incomplete))
                .safe("running the same restore again replaces it")
        };
        self.create().await?;
        let restore = Restore {
            dump: self.work.dir.join(DUMP_PATH),
            database: self.incomplete.to_owned(),
            jobs: self.jobs,
            no_owner: self.by_owner.is_some(),
            role: self.by_owner.filter(|owner| *owner != self.postgres.user).map(str::to_owned),
        };
        let entries = RestoreProgress::default();
        let run = restore.run(self.tools, self.postgres, entries.clone(), cancel);
        let run = told(progress, self.database.as_str(), &entries, run);
        let mut warnings = watch.time("pg_restore", run).await.map_err(half)?;
        progress.stage(format!("{}: comparing with the baseline", self.database));
        let mut session = Session::connect(self.postgres, self.incomplete).await?;
        let found = watch.time("compare", Baseline::take(&mut session)).await.map_err(half)?;
        let differences = compare(self.baseline, &found);
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        if !differences.is_empty() {
            let told: Vec<&str> = differences.iter().take(DIFFERENCES_TOLD_MAX).map(String::as_str).collect();
            return Err(half(
                Error::new(Kind::Integrity, format!("the restored database differs from its baseline in {} places", differences.len()))
                    .because(told.join("; "))
                    .next("compare by hand, and try another snapshot; lifeboat verify --deep tells whether this one is intact"),
            ));
        }
        let silenced = match self.neutralize {
            true => Some(watch.time("neutralize", self.silence(&mut session)).await.map_err(half)?),
            false => None,
        };
        session.close().await;
        warnings.extend(silenced.iter().flat_map(|s| &s.unknown_secrets).map(|column| {
            format!(
                "{column} of a module that Lifeboat does not know looks like a credential and was left as it is"
            )
        }));
        Ok(Loaded {
            compared: Compared { tables: self.baseline.tables.len(), differences },
            silenced,
            warnings,
        })
    }

    /// The empty hidden database; what an earlier try left of it goes.
    async fn create(&self) -> Result<()> {
        let mut session = Session::maintenance(self.postgres).await?;
        let marker = self.marker();
        // Killed between CREATE DATABASE and its comment, an earlier try left a database without a
        // mark; the file beside the work directory says whose it is.
        let creating = self.work.creating();
        if disk::metadata(&creating)?.is_some() {
            adopt(&mut session, self.incomplete, &marker).await?;
        }
        drop_database_if_marked(&mut session, self.incomplete, &marker).await?;
        disk::replace_durable(&creating, self.incomplete.as_bytes())?;
        let properties = &self.baseline.properties;
        create_restore_database(&mut session, self.incomplete, Some(self.owner), properties, &marker).await?;
        disk::remove_file(&creating)?;
        session.close().await;
        Ok(())
    }

    async fn silence(&self, session: &mut Session) -> Result<Silenced> {
        let url = self.base_url.unwrap_or("http://localhost:8069");
        let done = neutralize::neutralize(session, url).await?;
        let live = neutralize::still_live(session).await?;
        if !live.is_empty() {
            return Err(Error::new(Kind::Integrity, "the copy is not silent after neutralizing it")
                .because(live.join("; "))
                .next("do not start Odoo on it; report the module that these belong to"));
        }
        let unknown_secrets = neutralize::unknown_secrets(session).await?;
        let applied = done.applied.into_iter().map(|a| (a.name, a.rows)).collect();
        Ok(Silenced { applied, database_uuid: done.database_uuid, unknown_secrets })
    }

    /// Gives the database its name. What it says of settings that were refused are warnings.
    pub(super) async fn publish(&self) -> Result<Vec<String>> {
        let mut session = Session::maintenance(self.postgres).await?;
        let properties = &self.baseline.properties;
        let publication = Publication {
            owner: Some(self.owner.to_owned()),
            grants: properties.grants.clone().filter(|_| self.by_owner.is_none()),
            connection_limit: Some(properties.connection_limit),
        };
        publish_database(&mut session, self.incomplete, self.database.as_str(), &publication).await?;
        let refused = apply_settings(&mut session, self.database.as_str(), &properties.settings).await;
        session.close().await;
        Ok(refused)
    }
}

/// Says now and then how far pg_restore is.
async fn told<T>(
    progress: &Progress,
    database: &str,
    entries: &RestoreProgress,
    work: impl Future<Output = T>,
) -> T {
    progress.stage(format!("{database}: pg_restore"));
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = clock::sleep(TELL_EVERY) => {
                let (begun, all) = entries.read();
                progress.stage(format!("{database}: pg_restore, {begun} of {all} entries"));
            }
        }
    }
}

async fn adopt(session: &mut Session, database: &str, marker: &str) -> Result<()> {
    if database_exists(session, database).await? && database_comment(session, database).await?.is_none() {
        let sql = format!("COMMENT ON DATABASE {} IS {}", ident(database), literal(marker));
        session.execute("mark the database of an earlier try", sql).await?;
    }
    Ok(())
}

/// The dump as a file in the work directory; one that is whole from an earlier try is kept.
async fn spool(prepared: &Prepared, progress: &Progress, cancel: &CancellationToken) -> Result<()> {
    let dir = prepared.work.open()?;
    let (repository, dump, identities) =
        (prepared.repository.clone(), prepared.dump.clone(), prepared.identities.clone());
    let (workers, progress, cancel) = (prepared.workers, progress.clone(), cancel.clone());
    tokio::task::spawn_blocking(move || {
        let runtime = Handle::current();
        let wanted = Wanted::single(&repository, &runtime, &dump, &identities)?;
        let facts = dump.dump_facts()?;
        let whole = wanted
            .files()
            .iter()
            .any(|f| wanted.path(f) == DUMP_PATH && f.sha256 == facts.sha256.0 && f.bytes == facts.bytes);
        if !whole || wanted.files().len() != 1 {
            return Err(Error::new(
                Kind::Integrity,
                format!("the index of snapshot {} does not name the dump of its manifest", dump.id),
            ));
        }
        let manifests = HashMap::from([(dump.id.clone(), dump)]);
        extract(&Extract {
            repository: &repository,
            runtime: &runtime,
            manifests: &manifests,
            identities: &identities,
            wanted: &wanted,
            dir: &dir,
            dir_mode: 0o700,
            owner: None,
            workers,
            progress: &progress,
            cancel: &cancel,
        })
    })
    .await
    .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "fetching the dump panicked").because(e)))
}
