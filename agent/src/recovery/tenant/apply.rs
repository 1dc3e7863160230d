//! Applying the plan: scratch cluster, dump, its end; then the new database and its files as every
//! restore makes them, published together.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::elsewhere::{self, Elsewhere};
use crate::archive::manifest::MissingFile;
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::recovery::apply::{Stage, Stopwatch};
use crate::recovery::database::{Compared, Silenced};
use crate::recovery::file_owner;
use crate::recovery::filestore::{Staged, Staging};
use crate::recovery::fill::Fill;
use crate::recovery::instance;
use crate::recovery::instance::copies::sources;
use crate::recovery::instance::narrow::Only;
use crate::recovery::instance::start::Started;
use crate::recovery::noted::Noted;
use crate::recovery::server::{check_extensions, check_roles};
use crate::recovery::staging;
use crate::recovery::tenant::plan::{Prepared, TenantPlan};
use crate::recovery::tenant::recover::{Outcome, Recovered, Recovery};
use crate::recovery::tenant::scratch::{self, Scratch};

/// Another database of the name is looked for once, and so is what it was copied from.
const ROUNDS_MAX: u32 = 3;
/// Where WAL comes by a command of the user's, nothing can be looked up in it.
const PERHAPS_A_COPY: &str = "perhaps it was made after the base backup as a copy of another database, whose files are not here: \
     lifeboat restore --instance-to DIR recovers the whole instance";

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
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
) -> Result<Restored> {
    let begun = clock::instant();
    let plan = prepared.plan.clone();
    let work = prepared.work.clone();
    work.prepare()?;
    scratch::clean(config).await?;
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
) -> Result<Restored> {
    let Prepared { plan, base, base_request, request, search, server_tools, tools, postgres, data_dir, work } =
        prepared;
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
    let (recovered, base_fetched_bytes, names) = recover(&recovery, base, base_request).await?;
    let Recovered { started, baseline, files: named } = recovered;
    if !plan.filestore_only {
        let mut session = Session::maintenance(&postgres).await?;
        check_roles(&mut session, &postgres, request.owner.as_deref(), &baseline).await?;
        check_extensions(&mut session, &baseline).await?;
        session.close().await;
    }
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
        if plan.filestore_only {
            return Ok(None);
        }
        fill.load(progress, &stop, watch).await.map(Some).inspect_err(|_| stop.cancel())
    };
    let (loaded, staged) = match tokio::join!(rows, stage) {
        (Err(a), Err(b)) => return Err(if a.kind() == Kind::Interrupted { b } else { a }),
        (loaded, staged) => staged.and_then(|staged| Ok((loaded?, staged)))?,
    };
    if cancel.is_cancelled() {
        return Err(Error::new(Kind::Interrupted, "the restore was stopped before anything was published")
            .safe("running the same restore again is safe"));
    }
    let mut warnings = plan.warnings.clone();
    warnings.extend(elsewhere::told(&named.elsewhere));
    warnings.extend(staged.told.clone());
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
        warnings.extend(noted.note(&postgres.to_the_end()).await);
    }
    if let Some(files) = &plan.filestore {
        staging::publish(files, file_owner(&files.data_dir)?)?;
    }
    if loaded.is_some() {
        warnings.extend(watch.time("publish", fill.publish()).await?);
    }
    if let Some(files) = &plan.filestore {
        staging::settle(files)?;
    }
    let (baseline, neutralized) = match loaded {
        Some(loaded) => {
            warnings.extend(loaded.warnings);
            (Some(loaded.compared), loaded.silenced)
        }
        None => (None, None),
    };
    Ok(Restored {
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
        warnings,
    })
}

/// Everything that needs the scratch cluster, and its end; the bytes that were fetched for it; and the names that the
/// tenant, and what it was copied from, had in the base backup: files of these are its own.
async fn recover(
    recovery: &Recovery<'_>,
    mut base: instance::plan::Prepared,
    mut request: instance::Request,
) -> Result<(Recovered, u64, Vec<TenantName>)> {
    let mut fetched = 0;
    for _ in 0..ROUNDS_MAX {
        let (repository, facts, reach) = (base.repository.clone(), base.facts()?.clone(), base.reach.take());
        let whole = base.narrowed.as_ref().map(|narrowed| narrowed.whole.clone()).unwrap_or_default();
        let names = names(&base, &request);
        let scratch = Scratch::make(&base.plan.data_dir, recovery.work, base.plan.owner)?;
        let outcome = recovery.run(base).await;
        let gone = scratch.destroy().await;
        let (outcome, fetched_bytes) = outcome.map_err(without_scratch)?;
        fetched += fetched_bytes;
        match outcome {
            Outcome::Dumped(recovered) => {
                gone?;
                return Ok((*recovered, fetched, names));
            }
            Outcome::Another(oid) => {
                gone?;
                request.only = Some(Only::Oid(oid, BTreeSet::new()));
            }
            Outcome::Unreadable(oid, error) => {
                gone?;
                let Some(reach) = &reach else { return Err(without_scratch(error.next(PERHAPS_A_COPY))) };
                recovery.progress.stage("looking for what it was copied from");
                let sources = sources(&repository, &request, (&facts, reach), oid).await?;
                if sources.is_subset(&whole) {
                    return Err(without_scratch(error));
                }
                request.only = Some(Only::Oid(oid, sources));
            }
        }
        base = instance::plan::prepare(recovery.config, request.clone()).await?;
    }
    Err(Error::new(Kind::Internal, "two databases of the base backup have the tenant's name at the target"))
}

fn names(base: &instance::plan::Prepared, request: &instance::Request) -> Vec<TenantName> {
    let oids: BTreeSet<u32> = match &request.only {
        Some(Only::Oid(oid, sources)) => sources.iter().copied().chain([*oid]).collect(),
        _ => base.narrowed.iter().filter_map(|narrowed| narrowed.oid).collect(),
    };
    let databases = base.layout.databases.iter().filter(|database| oids.contains(&database.oid));
    databases.filter_map(|database| database.name.parse().ok()).collect()
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
