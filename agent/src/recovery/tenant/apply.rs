//! Applying the plan: scratch cluster, dump, its end; then the new database and its files as every
//! restore makes them, published together.

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

/// Another database of the name is looked for once, and so is what it was copied from.
const ROUNDS_MAX: u32 = 3;
/// Where WAL comes by a command of the user's, nothing can be looked up in it.
const PERHAPS_A_COPY: &str = "perhaps it was made after the base backup as a copy of another database, whose files are not here: \
     lifeboat restore --instance-to DIR recovers the whole instance";

/// What was restored.
#[derive(Debug, Serialize)]
pub struct TenantRestored {
    /// The plan that was applied.
    pub plan: TenantPlan,
    /// Where replay ended, and the last commit before that.
    pub recovered: Started,
    /// Bytes of packs of the base backup that were fetched.
    pub base_fetched_bytes: u64,
    /// Files that the rows name and that are restored.
    pub files: u64,
    /// Their sizes added up.
    pub file_bytes: u64,
    /// Files that the rows name and that are not restored, each with the reason.
    pub missing_files: Vec<MissingFile>,
    /// How many of these some backup should hold, and does not hold whole: allowed with a flag.
    pub lost_files: u64,
    /// Attachments that lie in other storages, which no backup of the filestore holds.
    pub elsewhere: Vec<Elsewhere>,
    /// Stages in the order in which they ended; some run beside each other.
    pub stages: Vec<Stage>,
    /// All of it.
    pub seconds: f64,
    /// The comparison with the scratch cluster; `None` where no database is restored.
    pub baseline: Option<Compared>,
    /// What neutralizing did.
    pub neutralized: Option<Silenced>,
    /// What of the dump is not in the database.
    pub not_made: Vec<NotMade>,
    /// Where that lies as SQL.
    pub not_made_file: Option<PathBuf>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Restores what was planned.
///
/// # Errors
/// Whatever failed; nothing is published then, and the scratch cluster is gone.
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
        Error::new(Kind::Busy, format!("another restore of {} runs on this host", plan.database))
            .because(format!("it holds the lock {}", lock_path.display()))
            .next("wait for it to end")
    })?;
    let watch = Stopwatch::default();
    let done = restore(config, prepared, progress, cancel, &watch).await;
    // The dump cannot be used again: the next try recovers anew.
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

/// Everything that needs the scratch cluster, and its end; the bytes that were fetched for it; and the names that the
/// tenant, or whatever it was copied from, had in the base backup: files of these are its own. Which databases' files
/// are needed can show only when the WAL was replayed: a further round is a part of the plan that was confirmed, with
/// the same base backup, the same target and the same WAL. Nothing is chosen anew here.
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
                recovery.progress.stage("looking for what it was copied from");
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

/// What a database was called in the base backup; where it is not there, those that it was copied from.
fn names_in(base: &Base, oid: u32, copied_from: &BTreeSet<u32>) -> Vec<TenantName> {
    let databases = &base.layout.databases;
    let is_there = databases.iter().any(|database| database.oid == oid);
    let is_it = |found: u32| if is_there { found == oid } else { copied_from.contains(&found) };
    databases.iter().filter(|database| is_it(database.oid)).filter_map(|d| d.name.parse().ok()).collect()
}

/// The error without what it says of files that are gone by now.
fn without_scratch(e: Error) -> Error {
    let mut out = Error::new(e.kind(), e.what()).because(e.causes().join("\n"));
    if let Some(next) = e.next_text().filter(|next| !next.starts_with("see /")) {
        out = out.next(next);
    }
    out.effect("nothing was published, and the scratch cluster is gone")
        .next("runbooks/restore-tenant.md")
        .safe("running the same restore again is safe")
}
