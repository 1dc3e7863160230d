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
use crate::odoo::baseline::Baseline;
use crate::odoo::compare::compare;
use crate::odoo::neutralize;
use crate::postgres::create::{Publication, create_restore_database, publish_database};
use crate::postgres::database::{database_comment, database_exists, drop_database_if_marked};
use crate::postgres::quote::{ident, literal};
use crate::postgres::restore::{Restore, RestoreProgress};
use crate::postgres::session::Session;
use crate::postgres::settings::apply_settings;
use crate::progress::Progress;
use crate::recovery::apply::Stopwatch;
use crate::recovery::extract::{Extract, extract};
use crate::recovery::plan::Prepared;
use crate::recovery::wanted::Wanted;

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

fn marker(prepared: &Prepared) -> String {
    format!("lifeboat: incomplete restore as {}", prepared.plan.database)
}

/// Fetches, loads, compares, neutralizes.
pub async fn load(
    prepared: &Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
    watch: &Stopwatch,
) -> Result<Loaded> {
    let plan = &prepared.plan;
    let half = |e: Error| {
        e.effect(format!("what was made so far is left, hidden, as database {}", plan.incomplete_database))
            .safe("running the same restore again replaces it")
    };
    watch.time("fetch dump", spool(prepared, progress, cancel)).await?;
    let mut session = Session::maintenance(&prepared.postgres).await?;
    let marker = marker(prepared);
    // Killed between CREATE DATABASE and its comment, an earlier try left a database without a
    // mark; the file beside the work directory says whose it is.
    let creating = plan.work_dir.with_extension("creating");
    if disk::metadata(&creating)?.is_some() {
        adopt(&mut session, &plan.incomplete_database, &marker).await?;
    }
    drop_database_if_marked(&mut session, &plan.incomplete_database, &marker).await?;
    disk::replace_durable(&creating, plan.incomplete_database.as_bytes())?;
    let properties = &prepared.baseline.properties;
    let created = create_restore_database(
        &mut session,
        &plan.incomplete_database,
        Some(&plan.owner),
        properties,
        &marker,
    );
    created.await?;
    disk::remove_file(&creating)?;
    session.close().await;
    let by_owner = prepared.request.owner.as_ref();
    let restore = Restore {
        dump: plan.work_dir.join(DUMP_PATH),
        database: plan.incomplete_database.clone(),
        jobs: prepared.jobs,
        no_owner: by_owner.is_some(),
        role: by_owner.filter(|owner| **owner != prepared.postgres.user).cloned(),
    };
    let entries = RestoreProgress::default();
    let run = restore.run(&prepared.tools, &prepared.postgres, entries.clone(), cancel);
    let run = told(progress, plan.database.as_str(), &entries, run);
    let mut warnings = watch.time("pg_restore", run).await.map_err(half)?;
    progress.stage(format!("{}: comparing with the baseline", plan.database));
    let mut session = Session::connect(&prepared.postgres, &plan.incomplete_database).await?;
    let found = watch.time("compare", Baseline::take(&mut session)).await.map_err(half)?;
    let differences = compare(&prepared.baseline, &found);
    let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
    if !differences.is_empty() {
        let told: Vec<&str> = differences.iter().take(DIFFERENCES_TOLD_MAX).map(String::as_str).collect();
        return Err(half(
            Error::new(Kind::Integrity, format!("the restored database differs from its baseline in {} places", differences.len()))
                .because(told.join("; "))
                .next("compare by hand, and try another snapshot; lifeboat verify --deep tells whether this one is intact"),
        ));
    }
    let silenced = match plan.neutralize {
        true => Some(watch.time("neutralize", silence(prepared, &mut session)).await.map_err(half)?),
        false => None,
    };
    session.close().await;
    warnings.extend(silenced.iter().flat_map(|s| &s.unknown_secrets).map(|column| {
        format!(
            "{column} of a module that Lifeboat does not know looks like a credential and was left as it is"
        )
    }));
    Ok(Loaded {
        compared: Compared { tables: prepared.baseline.tables.len(), differences },
        silenced,
        warnings,
    })
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

async fn silence(prepared: &Prepared, session: &mut Session) -> Result<Silenced> {
    let url = prepared.request.base_url.as_deref().unwrap_or("http://localhost:8069");
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

/// The dump as a file in the work directory; one that is whole from an earlier try is kept.
async fn spool(prepared: &Prepared, progress: &Progress, cancel: &CancellationToken) -> Result<()> {
    disk::create_private_dir(&prepared.plan.work_dir)?;
    let (repository, dump, identities) =
        (prepared.repository.clone(), prepared.dump.clone(), prepared.identities.clone());
    let (dir, workers, progress, cancel) =
        (prepared.plan.work_dir.clone(), prepared.workers, progress.clone(), cancel.clone());
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

/// Gives the database its name. What it says of settings that were refused are warnings.
pub async fn publish(prepared: &Prepared) -> Result<Vec<String>> {
    let plan = &prepared.plan;
    let mut session = Session::maintenance(&prepared.postgres).await?;
    let properties = &prepared.baseline.properties;
    let publication = Publication {
        owner: Some(plan.owner.clone()),
        grants: properties.grants.clone().filter(|_| prepared.request.owner.is_none()),
        connection_limit: Some(properties.connection_limit),
    };
    publish_database(&mut session, &plan.incomplete_database, plan.database.as_str(), &publication).await?;
    let refused = apply_settings(&mut session, plan.database.as_str(), &properties.settings).await;
    session.close().await;
    Ok(refused)
}
