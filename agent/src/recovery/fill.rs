//! Filling a new database from a dump file, wherever that comes from: hidden until it is loaded,
//! compared with its baseline and neutralized. Whatever runs the tenant's code in it (pg_restore, the
//! comparison, neutralizing) connects as one and the same role: [`crate::postgres::load`] says which.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::DUMP_PATH;
use crate::catalog::copies::copy_mark;
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
use crate::postgres::load::rights::Loads;
use crate::postgres::quote::{ident, literal};
use crate::postgres::restore::{Restore, RestoreProgress};
use crate::postgres::session::Session;
use crate::postgres::settings::apply_settings;
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::apply::Stopwatch;
use crate::recovery::database::{Compared, Loaded, Silenced};
use crate::recovery::workplace::Workplace;

const TELL_EVERY: Duration = Duration::from_millis(500);
/// Differences that an error names.
const DIFFERENCES_TOLD_MAX: usize = 5;

/// Everything that filling a new database takes, wherever its dump comes from.
pub(super) struct Fill<'a> {
    pub(super) database: &'a TenantName,
    pub(super) incomplete: &'a str,
    pub(super) owner: &'a str,
    /// The role that gets everything, where one was asked for.
    pub(super) by_owner: Option<&'a str>,
    pub(super) neutralize: bool,
    /// Whose it is, where it is a neutralized copy under another name.
    pub(super) copy_of: Option<&'a TenantName>,
    pub(super) base_url: Option<&'a str>,
    pub(super) work: &'a Workplace,
    pub(super) baseline: &'a Baseline,
    /// Its sessions heed a stop, but those that publish and those that end the role of the load.
    pub(super) postgres: &'a PostgresOptions,
    pub(super) tools: &'a Tools,
    pub(super) jobs: u32,
    /// As whom.
    pub(super) loads: Loads,
}

/// What a stage of the load tells and heeds.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
    pub(super) watch: &'a Stopwatch,
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
        self.create().await?;
        let watched = Watched { progress, cancel, watch };
        let loaded = match self.loads {
            Loads::OwnRole => self.load_by_own_role(watched).await,
            Loads::ConfiguredRole | Loads::ConfiguredRoleTrusted => {
                let restore = Restore {
                    no_owner: self.by_owner.is_some(),
                    role: self.by_owner.filter(|owner| *owner != self.postgres.user).map(str::to_owned),
                    ..self.restore()
                };
                self.load_as(self.postgres, restore, watched).await
            }
        };
        loaded.map_err(|e| {
            e.effect(format!("the incomplete database stays, hidden, as {}", self.incomplete))
                .safe("running the same restore again replaces it")
        })
    }

    /// pg_restore of all of the dump, with its owners.
    pub(super) fn restore(&self) -> Restore {
        Restore {
            dump: self.work.dir.join(DUMP_PATH),
            database: self.incomplete.to_owned(),
            jobs: self.jobs,
            no_owner: false,
            role: None,
            only: None,
        }
    }

    /// Everything that runs the tenant's code, as the role of `options`.
    pub(super) async fn load_as(
        &self,
        options: &PostgresOptions,
        restore: Restore,
        Watched { progress, cancel, watch }: Watched<'_>,
    ) -> Result<Loaded> {
        let entries = RestoreProgress::default();
        let run = restore.run(self.tools, options, entries.clone(), cancel);
        let run = told(progress, self.database.as_str(), &entries, run);
        let mut warnings = watch.time("pg_restore", run).await?;
        progress.stage(format!("{}: comparing with the baseline", self.database));
        let mut session = Session::connect(options, self.incomplete).await?;
        let found = watch.time("compare", Baseline::take_as_owner(&mut session)).await?;
        let differences = compare(self.baseline, &found);
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        if !differences.is_empty() {
            let told: Vec<&str> = differences.iter().take(DIFFERENCES_TOLD_MAX).map(String::as_str).collect();
            return Err(Error::new(Kind::Integrity, format!("the restored database differs from its baseline in {} places", differences.len()))
                .because(told.join("; "))
                .next("compare by hand, and try another snapshot; lifeboat verify --deep --identity FILE tells whether this one is intact"));
        }
        let silenced = match self.neutralize {
            true => Some(watch.time("neutralize", self.silence(&mut session)).await?),
            false => None,
        };
        session.close().await;
        warnings.extend(silenced.iter().flat_map(|s| &s.unknown_secrets).map(|column| {
            format!(
                "{column} of a module that Lifeboat does not know looks like a credential and was left as it is"
            )
        }));
        warnings.extend(silenced.iter().flat_map(|s| s.reaches.clone()));
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
        // While it is loaded it is ours, where another role loads it: its owner gets it when it is published.
        let owner = Some(self.owner).filter(|_| self.loads != Loads::OwnRole);
        create_restore_database(&mut session, self.incomplete, owner, properties, &marker).await?;
        disk::remove_file(&creating)?;
        session.close().await;
        Ok(())
    }

    async fn silence(&self, session: &mut Session) -> Result<Silenced> {
        let url = self.base_url.unwrap_or("http://localhost:8069");
        let done = neutralize::neutralize(session, url).await?;
        let live = neutralize::still_live(session).await?;
        if !live.is_empty() {
            return Err(Error::new(Kind::Integrity, "the copy is not silent after neutralizing")
                .because(live.join("; "))
                .next("do not start Odoo on it; report the module that these belong to"));
        }
        let unknown_secrets = neutralize::unknown_secrets(session).await?;
        let applied = done.applied.into_iter().map(|a| (a.name, a.rows)).collect();
        Ok(Silenced { applied, database_uuid: done.database_uuid, unknown_secrets, reaches: done.warnings })
    }

    /// Gives the database its name. What it says of settings that were refused are warnings.
    pub(super) async fn publish(&self) -> Result<Vec<String>> {
        let mut session = Session::maintenance(&self.postgres.to_the_end()).await?;
        let properties = &self.baseline.properties;
        let publication = Publication {
            owner: Some(self.owner.to_owned()),
            grants: properties.grants.clone().filter(|_| self.by_owner.is_none()),
            connection_limit: Some(properties.connection_limit),
            comment: self.copy_of.map(|tenant| copy_mark(tenant, clock::now())),
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
