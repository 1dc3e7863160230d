//! `lifeboat backup`: dumps, filestores and globals of an instance into its repository.

pub mod base;
mod batches;
mod census;
pub mod configuration;
mod dump;
mod file_reader;
mod filestore;
pub mod follow;
pub mod job;
mod last_step;
mod left_out;
mod of_classes;
mod pace;
mod reconcile;
mod stream;
mod suspicion;
mod tenant;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{Facts, Manifest, SnapshotKind};
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, ReleaseId, TenantName};
use crate::odoo::tenants::{Discovery, discover, gone};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::tools::Tools;
use crate::postgres::wire::code_of;
use crate::progress::Progress;
use job::{Begun, Job};
pub use left_out::{LeftOut, left_out};
pub use of_classes::OfClasses;
pub use tenant::{Kinds, TenantReport};

/// A request for a backup.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// Only these tenants; where empty, those of the configuration (or all that are discovered).
    pub tenants: Vec<TenantName>,
    /// Of these, only those of some classes; for tenants that are not named.
    pub classes: OfClasses,
    /// What to back up of each.
    pub kinds: Kinds,
    /// The release that every snapshot of this run is tied to.
    pub release: Option<ReleaseId>,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The instance.
    pub instance: InstanceName,
    /// The release that the snapshots are tied to.
    pub release: Option<ReleaseId>,
    /// UTC.
    pub begun: Timestamp,
    /// UTC.
    pub ended: Timestamp,
    /// Roles and tablespaces, where dumps were requested.
    pub globals: Option<Manifest>,
    /// What was stored.
    pub tenants: Vec<TenantReport>,
    /// Every tenant that this backup was meant to store: named, or found and neither excluded nor left out. A
    /// tenant of these that is not stored is a failure.
    pub meant: Vec<String>,
    /// Databases that are left out because odoo.exclude names them.
    pub excluded: Vec<String>,
    /// Databases that are not tenants: copies that Lifeboat made, and restores that are not finished.
    pub left_out: Vec<LeftOut>,
    /// What a person should know although nothing failed.
    pub notes: Vec<String>,
    /// What failed; the other tenants are stored all the same.
    #[serde(skip)]
    pub failures: Vec<(String, Error)>,
}

impl Report {
    /// The result of the whole run: the error decides the exit code.
    ///
    /// # Errors
    /// The kind of the failures where all are of one kind, `Incomplete` where something is stored.
    pub fn verdict(&self) -> Result<()> {
        let missing: u64 = self.tenants.iter().map(TenantReport::missing_files).sum();
        let unheld: u64 = self.tenants.iter().map(TenantReport::unheld_files).sum();
        let kinds: Vec<Kind> = self.failures.iter().map(|(_, e)| e.kind()).collect();
        let stored = self.tenants.len();
        match kinds.as_slice() {
            [] if missing + unheld == 0 => Ok(()),
            [] if missing == 0 => Err(Error::new(
                Kind::Incomplete,
                format!("{unheld} files or directories of filestores are missing in the backup, or damaged"),
            )
            .effect("the snapshots are stored; whether the databases need these files was not checked")
            .next("correct each problem above, or run lifeboat backup: with a dump it checks which files the database names")),
            [] => Err(Error::new(
                Kind::Incomplete,
                format!("{missing} files that the databases name are missing or damaged in the filestores"),
            )
            .effect("the snapshots are stored; a restore takes these files from older backups that hold them; files that no backup holds will be missing")
            .next("lifeboat show SNAPSHOT names the files, says why, and names the backup that holds each; search other copies of the disk for files that no backup holds")),
            [first, rest @ ..] => {
                let kind = if stored == 0 && rest.iter().all(|k| k == first) { *first } else { Kind::Incomplete };
                let names: Vec<&str> = self.failures.iter().map(|(name, _)| name.as_str()).collect();
                Err(Error::new(kind, format!("not backed up: {}", names.join(", ")))
                    .effect(format!("no new snapshot of these is stored, and older ones are unchanged; other tenants that were stored: {stored}"))
                    .safe("running again is safe")
                    .next("correct each error above, then run lifeboat backup again"))
            }
        }
    }
}

impl Report {
    /// A tenant that was meant and is neither stored nor a failure becomes a failure: a loss is always
    /// reported.
    fn hold_against_what_was_meant(&mut self) {
        for name in &self.meant {
            let stored = self.tenants.iter().any(|tenant| tenant.tenant.as_str() == name);
            if !stored && !self.failures.iter().any(|(failed, _)| failed == name) {
                let e = Error::new(Kind::Internal, "nothing was stored of it although nothing failed");
                self.failures.push((name.clone(), e));
            }
        }
    }
}

/// Runs a backup: takes locks and lease, then backs up globals, then each tenant. One tenant's failure does
/// not stop the others, unless the store failed: then the rest would fail in the same way.
///
/// # Errors
/// What prevented it from starting, or a stop by signal; failures of single tenants are in the report.
pub async fn run(
    config: &Config,
    request: BackupRequest,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<Report> {
    let begun = clock::now();
    request.classes.check(config)?;
    let (filestore, release) = (request.kinds.filestore, request.release.clone());
    let Begun { job, server, lease, stops: _stops } =
        Job::begin(config, filestore, release, progress, cancel).await?;
    let tools = Tools::clients(&job.postgres, server.major).await?;
    let mut report = Report {
        instance: config.instance.clone(),
        release: request.release.clone(),
        begun,
        ended: begun,
        globals: None,
        tenants: Vec::new(),
        meant: Vec::new(),
        excluded: Vec::new(),
        left_out: Vec::new(),
        notes: Vec::new(),
        failures: Vec::new(),
    };
    let outcome = all(&job, &tools, config, &request, &mut report).await;
    lease.release().await;
    if let Some(e) = job.lease.error() {
        let stored: Vec<TenantName> = report.tenants.iter().map(|done| done.tenant.clone()).collect();
        return Err(match stored.is_empty() {
            true => e,
            false => {
                e.context(format!("the backup was stopped; tenants stored before that: {}", join(&stored)))
            }
        });
    }
    outcome?;
    job.stop_if_cancelled()?;
    report.hold_against_what_was_meant();
    report.ended = clock::now();
    Ok(report)
}

async fn all(
    job: &Job,
    tools: &Tools,
    config: &Config,
    request: &BackupRequest,
    report: &mut Report,
) -> Result<()> {
    let tenants = choose(job, config, request, report).await?;
    let (snapshots, _) = job.repository.snapshot_ids().await?;
    if request.kinds.dump {
        match globals(job, tools, report).await {
            Ok(manifest) => report.globals = Some(manifest),
            Err(e) => report.failures.push(("globals".into(), e)),
        }
    }
    for (n, name) in tenants.iter().enumerate() {
        // Tenants that were not tried get the same kind, so that the exit code shows it. What PostgreSQL
        // refused concerns one tenant only: its owner must not be able to stop the others.
        let failures = report.failures.iter().filter(|(_, e)| code_of(e).is_none());
        let store_failure = failures.map(|(_, e)| e.kind()).find(|kind| {
            matches!(kind, Kind::Unreachable | Kind::NoSpace | Kind::Denied | Kind::Interrupted)
        });
        let stopped = job.cancel.is_cancelled().then_some(Kind::Interrupted);
        if let Some(kind) = store_failure.or(stopped) {
            let e = || Error::new(kind, "not tried: the tenant before it could not be stored");
            report.failures.extend(tenants[n..].iter().map(|name| (name.to_string(), e())));
            break;
        }
        match tenant::back_up(job, tools, name, request.kinds, &snapshots).await {
            Ok(done) => report.tenants.push(done),
            Err(e) if e.kind() == Kind::NotFound && !wanted_by_name(config, request, name) => {
                match gone(&job.postgres, name.as_str(), e).await {
                    Ok(note) => {
                        report.meant.retain(|meant| meant != name.as_str());
                        report.notes.push(note);
                    }
                    Err(e) => report.failures.push((name.to_string(), e)),
                }
            }
            Err(e) => report.failures.push((name.to_string(), e)),
        }
    }
    let stored = report.tenants.iter().map(|done| done.tenant.clone()).collect();
    match census::take(job, config, &stored).await {
        Ok(notes) => report.notes.extend(notes),
        Err(e) => report.notes.push(format!("whether databases are gone was not recorded: {}", e.line())),
    }
    Ok(())
}

fn join(names: &[TenantName]) -> String {
    names.iter().map(TenantName::as_str).collect::<Vec<_>>().join(", ")
}

fn wanted_by_name(config: &Config, request: &BackupRequest, name: &TenantName) -> bool {
    request.tenants.contains(name) || config.odoo.tenants.contains(name)
}

/// The tenants of the request, of the configuration, or those discovered, in this order.
async fn choose(
    job: &Job,
    config: &Config,
    request: &BackupRequest,
    report: &mut Report,
) -> Result<Vec<TenantName>> {
    let named = if request.tenants.is_empty() { &config.odoo.tenants } else { &request.tenants };
    let is_meant = |name: &str| request.classes.include(config, name);
    if !named.is_empty() {
        let names: Vec<TenantName> = named.iter().filter(|name| is_meant(name.as_str())).cloned().collect();
        report.meant = names.iter().map(TenantName::to_string).collect();
        if names.is_empty() {
            request.classes.nobody()?;
        }
        return Ok(names);
    }
    job.progress.stage("looking for tenants".to_owned());
    let Discovery { tenants, unknown, unfinished, notes, .. } = discover(&job.postgres).await?;
    report.notes.extend(notes);
    report.left_out.extend(unfinished.into_iter().map(LeftOut::unfinished));
    let copies = left_out::left_out(&job.postgres, config, &mut report.notes).await?;
    let excluded = |name: &str| config.odoo.exclude.iter().any(|excluded| excluded.as_str() == name);
    for (name, e) in unknown {
        if let Some(why) = copies.get(&name) {
            report.left_out.push(LeftOut { database: name, why: why.clone() });
        } else if excluded(&name) {
            report.excluded.push(name);
        } else if is_meant(&name) {
            report.meant.push(name.clone());
            report.failures.push((name, e));
        }
    }
    let names = tenants.into_iter().map(|tenant| tenant.name);
    let (out, names): (Vec<_>, Vec<_>) = names.partition(|name| excluded(name.as_str()));
    report.excluded.extend(out.into_iter().map(String::from));
    let (names, copies) = left_out::split(names, &copies);
    report.left_out.extend(copies);
    report.left_out.sort_by(|a, b| a.database.cmp(&b.database));
    let (found_none, mut names) = (names.is_empty(), names);
    names.retain(|name| is_meant(name.as_str()));
    report.meant.extend(names.iter().map(TenantName::to_string));
    if !found_none && names.is_empty() && report.failures.is_empty() {
        request.classes.nobody()?;
    }
    if found_none && report.failures.is_empty() {
        return Err(Error::new(
            Kind::NotFound,
            format!("there is no Odoo database to back up at {}:{}", job.postgres.host_text(), job.postgres.port),
        )
        .because(
            "no database has a table ir_module_module, or all that have one are excluded or are copies made by Lifeboat",
        )
        .effect("nothing was backed up")
        .next("check postgres.host and postgres.port, or name the databases in odoo.tenants"));
    }
    Ok(names)
}

async fn globals(job: &Job, tools: &Tools, report: &mut Report) -> Result<Manifest> {
    let snapshot = job.begin_snapshot(SnapshotKind::Globals, None);
    let (streamed, notes) = dump::globals(job, tools, &snapshot).await?;
    report.notes.extend(notes);
    let mut manifest = snapshot.manifest(snapshot.begun(), Facts::Globals);
    manifest.release = job.release.clone();
    manifest.plain_bytes = streamed.bytes;
    job.publish(&snapshot, &manifest).await?;
    Ok(manifest)
}

/// The tenants that a backup of everything stores, sorted.
///
/// # Errors
/// Where a database cannot be read: it may be a tenant.
pub async fn all_tenants(config: &Config, postgres: &PostgresOptions) -> Result<Vec<TenantName>> {
    let Discovery { tenants, unknown, .. } = discover(postgres).await?;
    let copies = left_out::left_out(postgres, config, &mut Vec::new()).await?;
    let excluded = |name: &str| config.odoo.exclude.iter().any(|excluded| excluded.as_str() == name);
    if let Some((name, e)) =
        unknown.into_iter().find(|(name, _)| !excluded(name) && !copies.contains_key(name))
    {
        return Err(e.context(format!("look at database {name}, which may be a tenant")));
    }
    let names = tenants.into_iter().map(|tenant| tenant.name).filter(|name| !excluded(name.as_str()));
    Ok(left_out::split(names.collect(), &copies).0)
}
