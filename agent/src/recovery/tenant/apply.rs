//! Applies the plan: creates the scratch cluster, dumps from it and removes it; then creates the new
//! database and its files like every restore, and publishes them together.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::elsewhere::{self, Elsewhere};
use crate::archive::manifest::MissingFile;
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{TenantName, bytes_text};
use crate::postgres::load::NotMade;
use crate::progress::Progress;
use crate::recovery::apply::once;
use crate::recovery::file_owner;
use crate::recovery::filestore::{Staged, Staging};
use crate::recovery::fill::Fill;
use crate::recovery::instance::copies::sources;
use crate::recovery::instance::narrow::Only;
use crate::recovery::instance::plan::Prepared as Base;
use crate::recovery::instance::start::Started;
use crate::recovery::loaded::{Compared, Silenced};
use crate::recovery::noted::Noted;
use crate::recovery::staging;
use crate::recovery::stopwatch::{Stage, Stopwatch};
use crate::recovery::tenant::plan::{Prepared, TenantPlan};
use crate::recovery::tenant::recover::{Outcome, Recovered, Recovery};
use crate::recovery::tenant::scratch::Scratch;

/// How many further rounds there are: one for another database of the name, one for what it was copied from.
const ROUNDS_MAX: u32 = 3;
/// If the user's own command fetches WAL, we cannot read it.
const PERHAPS_A_COPY: &str = "perhaps it was created after the base backup as a copy of another database, whose files are not here: \
     to recover the whole instance, run lifeboat restore --instance-to DIR";

/// What was restored.
#[derive(Debug, Serialize)]
pub struct TenantRestored {
    /// The plan that was applied.
    pub plan: TenantPlan,
    /// Where replay ended, and the last commit before that.
    pub recovered: Started,
    /// Fetched bytes of the base backup's packs.
    pub base_fetched_bytes: u64,
    /// Restored files that the rows name.
    pub files: u64,
    /// The sum of their sizes.
    pub file_bytes: u64,
    /// Files that the rows name but that are not restored, each with the reason.
    pub missing_files: Vec<MissingFile>,
    /// How many of these a backup should hold but does not hold intact; a flag allows this.
    pub lost_files: u64,
    /// Attachments in other storages, which no backup of the filestore holds.
    pub elsewhere: Vec<Elsewhere>,
    /// Stages in the order in which they ended; some run at the same time.
    pub stages: Vec<Stage>,
    /// The total time.
    pub seconds: f64,
    /// The comparison with the scratch cluster; `None` if no database is restored.
    pub baseline: Option<Compared>,
    /// What neutralizing did.
    pub neutralized: Option<Silenced>,
    /// What is in the dump but not in the database.
    pub not_made: Vec<NotMade>,
    /// The file with the SQL for that.
    pub not_made_file: Option<PathBuf>,
    /// Warnings for a person.
    pub warnings: Vec<String>,
}

/// Restores what was planned.
///
/// # Errors
/// Whatever failed. Then nothing is published, and the scratch cluster is removed.
pub async fn apply(
    config: &Config,
    prepared: Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<TenantRestored> {
    let begun = clock::instant();
    let plan = prepared.plan.clone();
    let work = prepared.work.clone();
    work.prepare()?;
    let lock_path = work.lock();
    let _lock = disk::try_lock(&lock_path)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("another restore of {} is running on this host", plan.database))
            .because(format!("it holds the lock {}", lock_path.display()))
            .next("wait for it to end")
    })?;
    let watch = Stopwatch::default();
    let done = restore(config, prepared, progress, cancel, &watch).await;
    // The dump cannot be used again: the next try repeats the recovery.
    let cleared = work.remove();
    let mut restored = done?;
    cleared?;
    restored.stages = watch.stages();
    restored.seconds = begun.elapsed().as_secs_f64();
    Ok(restored)
}

async fn restore(
    config: &Config,
    prepared: Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
    watch: &Stopwatch,
) -> Result<TenantRestored> {
    let Prepared { plan, base, request, search, server_tools, tools, postgres, data_dir, work } = prepared;
    let postgres = postgres.stopped_by(cancel);
    let recovery = Recovery {
        config,
        tenant: &request.tenant,
        work: &work,
        server_tools: &server_tools,
        tools: &tools,
        progress,
        cancel,
        watch,
    };
    let (repository, identities) = (base.repository.clone(), Arc::new(request.identities.clone()));
    let (recovered, base_fetched_bytes, names) = recover(&recovery, base).await?;
    let Recovered { started, baseline, files: named, .. } = recovered;
    let search = search.under(names);
    let fill = Fill {
        database: &plan.database,
        incomplete: &plan.incomplete_database,
        owner: request.owner.as_deref().unwrap_or(&baseline.properties.owner),
        by_owner: request.owner.as_deref(),
        neutralize: plan.neutralize,
        copy_of: Some(&request.tenant).filter(|tenant| plan.neutralize && **tenant != plan.database),
        base_url: request.base_url.as_deref(),
        work: &work,
        baseline: &baseline,
        postgres: &postgres,
        tools: &tools,
        jobs: config.restore.jobs as u32,
        loads: plan.loads,
        choices: &request.load,
    };
    let seen = match plan.filestore_only {
        true => None,
        false => Some(fill.look().await?),
    };
    let stop = cancel.child_token();
    let stage = async {
        let staged = match (&plan.filestore, &data_dir) {
            (Some(place), Some(data_dir)) => {
                let staging = Staging {
                    plan: place,
                    data_dir,
                    repository: &repository,
                    identities: &identities,
                    search: &search,
                    allow_missing: plan.allow_missing_files,
                    workers: config.restore.workers,
                    progress,
                    cancel: &stop,
                };
                watch.time("fetch filestore", staging.run_named(named.files)).await
            }
            // Nothing was backed up, and the plan said so.
            _ if plan.database_only => Ok(Staged::default()),
            _ => Ok(Staged::without_any(named.files)),
        };
        staged.inspect_err(|_| stop.cancel())
    };
    let rows = async {
        let Some(seen) = &seen else { return Ok(None) };
        fill.load(seen, progress, &stop, watch).await.map(Some).inspect_err(|_| stop.cancel())
    };
    let (loaded, staged) = match tokio::join!(rows, stage) {
        (Err(a), Err(b)) => return Err(if a.kind() == Kind::Interrupted { b } else { a }),
        (loaded, staged) => staged.and_then(|staged| Ok((loaded?, staged)))?,
    };
    if cancel.is_cancelled() {
        return Err(Error::new(Kind::Interrupted, "the restore was stopped before anything was published")
            .safe("running the same restore again is safe"));
    }
    let mut told = Vec::new();
    if loaded.is_some() {
        let noted = Noted {
            state_dir: &config.state_dir,
            instance: &config.instance,
            tenant: &request.tenant,
            database: &plan.database,
            incomplete: &plan.incomplete_database,
            filestore: plan.filestore.as_ref(),
            neutralize: plan.neutralize,
        };
        told = noted.note(&postgres.to_the_end()).await;
    }
    let not_made = loaded.as_ref().map(|loaded| loaded.not_made.clone()).unwrap_or_default();
    let not_made_file = work.write_not_made(&not_made)?;
    if let Some(files) = &plan.filestore {
        staging::publish(files, file_owner(&files.data_dir)?)?;
    }
    if let Some(seen) = &seen {
        told.extend(watch.time("publish", fill.publish(seen)).await?);
    }
    if let Some(files) = &plan.filestore {
        staging::settle(files)?;
    }
    let mut warnings = plan.warnings.clone();
    warnings.extend(elsewhere::shared(&named.elsewhere));
    warnings.extend(staged.told.iter().cloned());
    let (baseline, neutralized) = match loaded {
        Some(loaded) => {
            warnings.extend(loaded.warnings);
            (Some(loaded.compared), loaded.silenced)
        }
        None => (None, None),
    };
    warnings.extend(told);
    let warnings = once(warnings);
    Ok(TenantRestored {
        plan,
        recovered: started,
        base_fetched_bytes,
        files: staged.files,
        file_bytes: staged.bytes,
        lost_files: staged.lost.len() as u64,
        missing_files: staged.missing(),
        elsewhere: named.elsewhere,
        stages: Vec::new(),
        seconds: 0.0,
        baseline,
        neutralized,
        not_made,
        not_made_file,
        warnings,
    })
}

/// Does everything that needs the scratch cluster, and removes it. Returns also the fetched bytes, and the
/// names that the tenant, or the database that it was copied from, had in the base backup: files under
/// these names are its own. Sometimes only replay shows which databases' files are needed. A further round
/// is part of the confirmed plan: same base backup, same target, same WAL. Nothing is chosen again here.
async fn recover(recovery: &Recovery<'_>, mut base: Base) -> Result<(Recovered, u64, Vec<TenantName>)> {
    let mut fetched = 0;
    for _ in 0..ROUNDS_MAX {
        let whole = base.narrowed.as_ref().map(|narrowed| narrowed.whole.clone()).unwrap_or_default();
        let scratch = Scratch::make(&base.plan.data_dir, recovery.work, base.plan.owner)?;
        let prepared = Arc::new(base);
        let outcome = recovery.run(&prepared).await;
        let gone = scratch.destroy().await;
        let (outcome, fetched_bytes) = outcome.map_err(without_scratch)?;
        gone?;
        fetched += fetched_bytes;
        base = Arc::into_inner(prepared)
            .ok_or_else(|| Error::new(Kind::Internal, "the base backup is still being restored"))?;
        let only = match outcome {
            Outcome::Dumped(recovered) => {
                let names = names_in(&base, recovered.oid, &whole);
                return Ok((*recovered, fetched, names));
            }
            Outcome::Another(oid) => Only::Oid(oid, BTreeSet::new()),
            Outcome::Unreadable(oid, error) => {
                let (Some(reach), Some(feed)) = (&base.plan.source.reach, &base.feed) else {
                    return Err(without_scratch(error.next(PERHAPS_A_COPY)));
                };
                recovery.progress.stage("searching for the database that it was copied from");
                let sources = sources(&feed.reader, (base.facts()?, reach), oid).await?;
                if sources.is_subset(&whole) {
                    return Err(without_scratch(error));
                }
                Only::Oid(oid, sources)
            }
        };
        base.narrow_again(&only, &recovery.config.postgres.maintenance_database)?;
        let (own, fetch) = (bytes_text(base.plan.bytes), bytes_text(base.plan.fetch_bytes));
        let what = format!("the second round of the plan: {own} of files, {fetch} to fetch");
        recovery.progress.note(what);
    }
    Err(Error::new(Kind::Internal, "two databases of the base backup have the tenant's name at the target"))
}

/// The name of a database in the base backup; if it is not there, the names of those that it was copied from.
fn names_in(base: &Base, oid: u32, copied_from: &BTreeSet<u32>) -> Vec<TenantName> {
    let databases = &base.layout.databases;
    let is_there = databases.iter().any(|database| database.oid == oid);
    let is_it = |found: u32| if is_there { found == oid } else { copied_from.contains(&found) };
    databases.iter().filter(|database| is_it(database.oid)).filter_map(|d| d.name.parse().ok()).collect()
}

/// The error without its text about files that are removed by now.
fn without_scratch(e: Error) -> Error {
    let mut out = Error::new(e.kind(), e.what()).because(e.causes().join("\n"));
    if let Some(next) = e.next_text().filter(|next| !next.starts_with("see /")) {
        out = out.next(next);
    }
    let next = match out.kind() {
        Kind::Integrity => {
            "lifeboat verify, then runbooks/damaged-repository.md; --snapshot selects another base backup"
        }
        _ => "runbooks/restore-tenant.md",
    };
    out.effect("nothing was published, and the scratch cluster was removed")
        .next(next)
        .safe("running the same restore again is safe")
}
