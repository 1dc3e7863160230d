//! Fills a new database from a dump file, wherever that comes from. The database stays hidden until it is
//! loaded, compared with its baseline and neutralized. Everything that may run the tenant's code in it
//! (pg_restore, the comparison, neutralizing) connects as the same role, which [`crate::postgres::load`]
//! chooses.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::DUMP_PATH;
use crate::catalog::copies::copy_mark;
use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::baseline::Baseline;
use crate::odoo::neutralize;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::create::{Publication, create_restore_database, publish_database};
use crate::postgres::database::{
    DatabaseProperties, Grant, Setting, database_comment, database_exists, drop_database_if_marked,
};
use crate::postgres::leftovers::free;
use crate::postgres::load::needs::loaded_by;
use crate::postgres::load::rights::Loads;
use crate::postgres::load::{Choices, toc};
use crate::postgres::quote::{ident, literal};
use crate::postgres::restore::RestoreProgress;
use crate::postgres::session::Session;
use crate::postgres::settings::apply_settings;
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::loaded::{Loaded, Silenced};
use crate::recovery::server::{Asking, Seen, look, own_tablespace};
use crate::recovery::stopwatch::Stopwatch;
use crate::recovery::workplace::Workplace;

const TELL_EVERY: Duration = Duration::from_millis(500);

/// Everything that is needed to fill a new database, wherever its dump comes from.
pub(super) struct Fill<'a> {
    pub(super) database: &'a TenantName,
    pub(super) incomplete: &'a str,
    pub(super) owner: &'a str,
    /// The role that gets everything, if one was named.
    pub(super) by_owner: Option<&'a str>,
    pub(super) neutralize: bool,
    /// The tenant, if this is a neutralized copy under another name.
    pub(super) copy_of: Option<&'a TenantName>,
    pub(super) base_url: Option<&'a str>,
    pub(super) work: &'a Workplace,
    pub(super) baseline: &'a Baseline,
    /// Its sessions can be stopped, except those that publish and those that end the role of the load.
    pub(super) postgres: &'a PostgresOptions,
    pub(super) tools: &'a Tools,
    pub(super) jobs: u32,
    /// The role that loads.
    pub(super) loads: Loads,
    /// What a person decided.
    pub(super) choices: &'a Choices,
}

/// The progress and the cancellation of a stage.
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

    /// Compares what the dump in the work directory needs with what the server has.
    ///
    /// # Errors
    /// `Refused`, naming what the server lacks.
    pub(super) async fn look(&self) -> Result<Seen> {
        let dump = self.work.dir.join(DUMP_PATH);
        let entries = tokio::task::spawn_blocking(move || toc::read(&dump))
            .await
            .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading the dump panicked").because(e)))?;
        let mut session = Session::maintenance(self.postgres).await?;
        let asked = Asking {
            baseline: self.baseline,
            by_owner: self.by_owner,
            loads: self.loads,
            choices: self.choices,
        };
        let seen = look(&mut session, entries, &asked).await?;
        session.close().await;
        Ok(seen)
    }

    /// Loads the dump in the work directory into the hidden database, compares the database with the
    /// baseline, and neutralizes it.
    pub(super) async fn load(
        &self,
        seen: &Seen,
        progress: &Progress,
        cancel: &CancellationToken,
        watch: &Stopwatch,
    ) -> Result<Loaded> {
        let watched = Watched { progress, cancel, watch };
        // The second time only if pg_restore's processes mixed their messages about failures.
        for jobs in [self.jobs, 1] {
            self.create().await?;
            let loaded = match self.loads {
                Loads::OwnRole => self.load_by_own_role(seen, jobs, watched).await,
                Loads::ConfiguredRole | Loads::ConfiguredRoleTrusted => {
                    self.load_by_configured_role(seen, jobs, watched).await
                }
            };
            let loaded = loaded.map_err(|e| {
                e.effect(format!("the incomplete database stays hidden, as {}", self.incomplete))
                    .safe("running the same restore again replaces it")
            })?;
            if let Some(mut loaded) = loaded {
                loaded.warnings.extend(seen.notes.iter().cloned());
                return Ok(loaded);
            }
        }
        Err(Error::new(Kind::Internal, "pg_restore did not say which entries failed"))
    }

    /// Creates the empty hidden database; drops the one of an earlier try.
    async fn create(&self) -> Result<()> {
        let mut session = Session::maintenance(self.postgres).await?;
        let marker = self.marker();
        // An earlier try that was killed between CREATE DATABASE and its comment left a database without
        // a mark; the file beside the work directory says that it is ours.
        let creating = self.work.creating();
        if disk::metadata(&creating)?.is_some() {
            adopt(&mut session, self.incomplete, &marker).await?;
        }
        if database_comment(&mut session, self.incomplete).await?.as_deref() == Some(&*marker) {
            free(self.postgres, self.incomplete).await.map_err(|e| {
                e.effect(format!(
                    "the unfinished database {:?} of an earlier try cannot be dropped",
                    self.incomplete
                ))
                .next("drop it as a superuser, then run again")
            })?;
        }
        drop_database_if_marked(&mut session, self.incomplete, &marker).await?;
        disk::replace_durable(&creating, self.incomplete.as_bytes())?;
        let properties = &self.baseline.properties;
        let tablespace = own_tablespace(self.baseline, self.choices);
        let properties = &DatabaseProperties { tablespace, ..properties.clone() };
        // If another role loads it, we own it during the load; its owner gets it when it is published.
        let owner = Some(self.owner).filter(|_| self.loads != Loads::OwnRole);
        create_restore_database(&mut session, self.incomplete, owner, properties, &marker).await?;
        disk::remove_file(&creating)?;
        session.close().await;
        Ok(())
    }

    pub(super) async fn silence(&self, session: &mut Session) -> Result<Silenced> {
        let url = self.base_url.unwrap_or("http://localhost:8069");
        let done = neutralize::neutralize(session, url).await?;
        let live = neutralize::still_live(session).await?;
        if !live.is_empty() {
            return Err(Error::new(Kind::Integrity, "the copy is still live after neutralizing")
                .because(live.join("; "))
                .next("do not start Odoo on it; report the module that these findings belong to"));
        }
        let unknown = neutralize::unknown(session).await?;
        let applied = done.applied.into_iter().map(|a| (a.name, a.rows)).collect();
        Ok(Silenced { applied, database_uuid: done.database_uuid, unknown, reaches: done.warnings })
    }

    /// Gives the database its name. Settings that the server refuses become warnings.
    pub(super) async fn publish(&self, seen: &Seen) -> Result<Vec<String>> {
        let mut session = Session::maintenance(&self.postgres.to_the_end()).await?;
        let properties = &self.baseline.properties;
        let publication = Publication {
            owner: Some(self.owner.to_owned()),
            grants: properties.grants.clone().filter(|_| self.by_owner.is_none()).map(|grants| {
                let known = |grant: &Grant| {
                    grant.role.as_ref().is_none_or(|role| seen.target.roles.contains_key(role))
                };
                grants.into_iter().filter(known).collect()
            }),
            connection_limit: Some(properties.connection_limit),
            comment: self.copy_of.map(|tenant| copy_mark(tenant, clock::now())),
        };
        publish_database(&mut session, self.incomplete, self.database.as_str(), &publication).await?;
        // A session that must load a missing library cannot begin; this happens only with --partial.
        let (lost, settings): (Vec<Setting>, Vec<Setting>) =
            properties.settings.iter().cloned().partition(|setting| {
                loaded_by(setting).iter().any(|library| seen.not_loaded.contains(library))
            });
        let mut refused = apply_settings(&mut session, self.database.as_str(), &settings).await;
        refused.extend(lost.into_iter().map(|Setting { name, value, .. }| {
            format!("the setting {name} = {value} is left out: the server does not have the library")
        }));
        session.close().await;
        Ok(refused)
    }
}

/// Reports the progress of pg_restore from time to time.
pub(super) async fn told<T>(
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
                progress.stage(format!("{database}: pg_restore, entry {begun} of {all}"));
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
