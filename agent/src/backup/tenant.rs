//! One tenant: the database's point first, the filestore after it, both at once from there on;
//! then the reconciliation; then the manifests, the filestore's before the dump's that names it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{BASELINE, DumpFacts, FilestoreLink, Manifest, MissingFile, SnapshotKind};
use crate::backup::dump::{self, Dumped};
use crate::backup::filestore::{self, Failure, Sync, Synced, open_known};
use crate::backup::job::{Job, on_blocking_thread};
use crate::backup::pace::Pace;
use crate::backup::reconcile::{self, Missing, Names};
use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::odoo::attachments::{attachment_exists_now, each_attachment_file};
use crate::odoo::baseline::Baseline;
use crate::odoo::fence::Fence;
use crate::postgres::database::database_bytes;
use crate::postgres::session::Session;
use crate::postgres::snapshot::SnapshotSession;
use crate::postgres::tools::Tools;
use crate::repository::writer::SnapshotWriter;

/// A point whose files were deleted meanwhile is taken anew this often.
const POINTS_MAX: u32 = 3;

/// What of a tenant is backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// The database.
    pub dump: bool,
    /// The filestore.
    pub filestore: bool,
}

/// What was stored for a tenant.
#[derive(Debug, Serialize)]
pub struct TenantReport {
    /// Whose.
    pub tenant: TenantName,
    /// The dump, where asked for.
    pub dump: Option<Manifest>,
    /// The filestore, where asked for.
    pub filestore: Option<Manifest>,
    /// How long it took.
    pub seconds: f64,
}

impl TenantReport {
    /// Files that the dumped database names and the repository does not hold whole.
    pub fn missing_files(&self) -> u64 {
        let link = self.dump.as_ref().and_then(|m| m.dump.as_ref()).and_then(|d| d.filestore.as_ref());
        link.map_or(0, |link| link.missing_files)
    }
}

/// Backs up one tenant. `snapshots` are the repository's, sorted.
pub async fn back_up(
    job: &Job,
    tools: &Tools,
    tenant: &TenantName,
    kinds: Kinds,
    snapshots: &[SnapshotId],
) -> Result<TenantReport> {
    let begun = clock::instant();
    let mut report = if kinds.dump {
        let mut points = 0;
        loop {
            points += 1;
            if let Some(report) = dump_and_filestore(job, tools, tenant, kinds, snapshots, points).await? {
                break report;
            }
            job.progress.note(format!(
                "{tenant}: files named by the database were deleted during the backup; taking a fresh point"
            ));
        }
    } else {
        let snapshot = begin(job, SnapshotKind::Filestore);
        let synced = sync(job, tenant, &snapshot, snapshots, &job.cancel).await?;
        let filestore = publish_filestore(job, tenant, &snapshot, synced).await?;
        TenantReport { tenant: tenant.clone(), dump: None, filestore: Some(filestore), seconds: 0.0 }
    };
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn begin(job: &Job, kind: SnapshotKind) -> Arc<SnapshotWriter> {
    SnapshotWriter::begin(&job.repository, &job.origin, &job.recipients, job.pack_settings(), kind)
}

/// `None` where a fresh point is worth taking.
async fn dump_and_filestore(
    job: &Job,
    tools: &Tools,
    tenant: &TenantName,
    kinds: Kinds,
    snapshots: &[SnapshotId],
    points: u32,
) -> Result<Option<TenantReport>> {
    let snapshot = begin(job, SnapshotKind::Dump);
    let fence = match kinds.filestore && job.backup.fence_seconds_max > 0 {
        true => Some(
            Fence::hold(&job.postgres, tenant.as_str(), Duration::from_secs(job.backup.fence_seconds_max))
                .await,
        ),
        false => None,
    };
    job.progress.stage(format!("{tenant}: database point"));
    let mut point = SnapshotSession::begin(&job.postgres, tenant.as_str()).await?;
    let mut names = None;
    if kinds.filestore {
        let mut spool = Names::create(job.state.scratch_file("attachments")?)?;
        each_attachment_file(&mut point.session, |file| spool.add(file.store_fname, file.file_size)).await?;
        spool.end()?;
        names = Some(spool);
    }
    job.progress.stage(format!("{tenant}: database and filestore"));
    let (lsn, time, id) = (point.lsn, point.time, point.snapshot_id.clone());
    let cancel = job.cancel.child_token();
    let filestore = kinds.filestore.then(|| begin(job, SnapshotKind::Filestore));
    let dumping = stops_others(&cancel, async {
        let (dumped, baseline) = tokio::join!(
            stops_others(&cancel, dump::dump(job, tools, &snapshot, tenant, &id, &cancel)),
            stops_others(&cancel, baseline(&mut point))
        );
        let (dumped, baseline) = first_reason(dumped, baseline)?;
        point.end().await?;
        Ok((dumped, baseline))
    });
    let syncing = stops_others(&cancel, async {
        let synced = match &filestore {
            Some(filestore) => Some(sync(job, tenant, filestore, snapshots, &cancel).await?),
            None => None,
        };
        let fence = match fence {
            Some(fence) => fence.release().await.to_string(),
            None => "not asked for".to_owned(),
        };
        Ok((synced, fence))
    });
    let (dumped, synced) = tokio::join!(dumping, syncing);
    let ((dumped, (baseline, database_bytes)), (synced, fence)) = first_reason(dumped, synced)?;
    let missing = match (&names, &synced) {
        (Some(_), Some(synced)) => {
            let index = synced.staged.staged().to_owned();
            let names = names.take();
            let (names, found) = on_blocking_thread(move || match names {
                Some(names) => reconcile::missing(&names, &index).map(|found| (names, found)),
                None => Err(Error::new(Kind::Internal, "the names of attachments are gone")),
            })
            .await?;
            let explained = explain(job, tenant, found.0).await?;
            if points < POINTS_MAX && explained.iter().any(|m| m.deleted_meanwhile) {
                return Ok(None);
            }
            let told = explained.into_iter().map(|m| m.file).collect();
            Some((told, found.1, names.count()))
        }
        _ => None,
    };
    job.progress.stage(format!("{tenant}: manifests"));
    let published = match (&filestore, synced) {
        (Some(filestore), Some(synced)) => Some(publish_filestore(job, tenant, filestore, synced).await?),
        _ => None,
    };
    let link = published.as_ref().zip(missing).map(|(manifest, (told, count, referenced))| FilestoreLink {
        snapshot: manifest.id.clone(),
        referenced,
        missing_files: count,
        missing: told,
        fence,
    });
    let facts = dump_facts(job, tools, dumped, &baseline, database_bytes, link);
    let dump = publish_dump(job, tenant, &snapshot, facts, baseline, lsn, time).await?;
    Ok(Some(TenantReport { tenant: tenant.clone(), dump: Some(dump), filestore: published, seconds: 0.0 }))
}

async fn baseline(point: &mut SnapshotSession) -> Result<(Baseline, u64)> {
    let baseline = Baseline::take(&mut point.session).await?;
    let bytes = database_bytes(&mut point.session).await?;
    Ok((baseline, bytes))
}

/// Makes what runs beside it stop when it fails.
async fn stops_others<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    work.await.inspect_err(|_| cancel.cancel())
}

/// Of two that ran beside each other, the error that made the other stop.
fn first_reason<A, B>(a: Result<A>, b: Result<B>) -> Result<(A, B)> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => Err(if a.kind() == Kind::Interrupted { b } else { a }),
        (Err(e), _) | (_, Err(e)) => Err(e),
    }
}

async fn sync(
    job: &Job,
    tenant: &TenantName,
    snapshot: &Arc<SnapshotWriter>,
    snapshots: &[SnapshotId],
    cancel: &CancellationToken,
) -> Result<Synced> {
    let dir = filestore_dir(job, tenant)?;
    let known_file = job.state.known_file(tenant);
    let repository_id = job.repository.id().to_owned();
    let snapshots = snapshots.to_vec();
    let (workers, chain_max) = (job.backup.workers, job.backup.filestore_chain_max);
    let pace = Pace::new(job.backup.read_bytes_per_second_max, cancel.clone());
    let (progress, tenant, snapshot) = (job.progress.clone(), tenant.clone(), snapshot.clone());
    on_blocking_thread(move || {
        let mut known = open_known(&known_file, &repository_id, &snapshots);
        loop {
            if let Err(Some(why)) = &known {
                progress.note(format!("{tenant}: reading the whole filestore: {why}"));
            }
            let request = Sync {
                dir: &dir,
                known_file: &known_file,
                known,
                workers,
                chain_max,
                pace: &pace,
                progress: &progress,
            };
            match filestore::sync(&snapshot, request) {
                Ok(synced) => return Ok(synced),
                Err(Failure::KnownDamaged(e)) => known = Err(Some(format!("{e:?}"))),
                Err(Failure::Other(e)) => return Err(e),
            }
        }
    })
    .await
}

/// A tenant without any attachment may have no directory; a data directory without `filestore`
/// is a wrong path, and an empty backup of it would be a lie.
fn filestore_dir(job: &Job, tenant: &TenantName) -> Result<PathBuf> {
    let filestores = job.filestores.as_ref().ok_or_else(|| {
        Error::new(Kind::Config, "odoo.data_dir is not set").next("set it, or back up with --kind dump")
    })?;
    if disk::metadata(filestores)?.is_none() {
        return Err(Error::new(Kind::Filestore, format!("{} does not exist", filestores.display()))
            .effect(format!("the filestore of {tenant} is not backed up"))
            .next("odoo.data_dir must be Odoo's data_dir, the directory that holds filestore/"));
    }
    Ok(filestores.join(tenant.as_str()))
}

struct Explained {
    file: MissingFile,
    deleted_meanwhile: bool,
}

/// Why each file is missing: lost before, deleted together with its row, unreadable, damaged.
async fn explain(job: &Job, tenant: &TenantName, missing: Vec<Missing>) -> Result<Vec<Explained>> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let dir = filestore_dir(job, tenant)?;
    let mut session = Session::connect(&job.postgres, tenant.as_str()).await?;
    let mut explained = Vec::new();
    for Missing { store_fname, flaw } in missing {
        let path = crate::archive::path::escape(store_fname.as_bytes());
        let there = crate::archive::path::unescape(&path).is_ok()
            && disk::metadata(&dir.join(&store_fname))?.is_some();
        let row = attachment_exists_now(&mut session, &store_fname).await?;
        let why = match (&flaw, there, row) {
            (Some(flaw), _, _) => format!("stored as it is, but {flaw}"),
            (None, true, _) => "it is on the source's disk and could not be read".to_owned(),
            (None, false, true) => {
                "the source had lost it already: the row is there, the file is not".to_owned()
            }
            (None, false, false) => "it was deleted together with its row during the backup".to_owned(),
        };
        let deleted_meanwhile = flaw.is_none() && !there && !row;
        explained.push(Explained { file: MissingFile { store_fname, why }, deleted_meanwhile });
    }
    session.close().await;
    Ok(explained)
}

async fn publish_filestore(
    job: &Job,
    tenant: &TenantName,
    snapshot: &Arc<SnapshotWriter>,
    synced: Synced,
) -> Result<Manifest> {
    let mut manifest = snapshot.manifest(snapshot.begun());
    manifest.tenant = Some(tenant.clone());
    manifest.release = job.release.clone();
    manifest.parent = synced.parent;
    manifest.plain_bytes = synced.plain_bytes;
    manifest.filestore = Some(synced.facts);
    job.publish(snapshot, &manifest).await?;
    // Only now: a known filestore must never speak of a snapshot that does not exist.
    synced.staged.publish(&synced.known)?;
    Ok(manifest)
}

fn dump_facts(
    job: &Job,
    tools: &Tools,
    dumped: Dumped,
    baseline: &Baseline,
    database_bytes: u64,
    filestore: Option<FilestoreLink>,
) -> DumpFacts {
    DumpFacts {
        server_major: tools.major,
        pg_dump: tools.version.clone(),
        odoo_version: baseline.odoo_version.clone(),
        bytes: dumped.streamed.bytes,
        sha256: dumped.streamed.sha256,
        read_back: job.backup.dump_readback,
        database_bytes,
        owner: baseline.properties.owner.clone(),
        warnings: dumped.warnings,
        filestore,
    }
}

async fn publish_dump(
    job: &Job,
    tenant: &TenantName,
    snapshot: &Arc<SnapshotWriter>,
    facts: DumpFacts,
    baseline: Baseline,
    lsn: crate::names::Lsn,
    time: clock::Timestamp,
) -> Result<Manifest> {
    let text = serde_json::to_vec_pretty(&baseline)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the baseline").because(e))?;
    let writer = snapshot.clone();
    on_blocking_thread(move || writer.put_sealed(BASELINE, &text)).await?;
    let mut manifest = snapshot.manifest(time);
    manifest.tenant = Some(tenant.clone());
    manifest.release = job.release.clone();
    manifest.lsn = Some(lsn);
    manifest.plain_bytes = facts.bytes;
    manifest.dump = Some(facts);
    job.publish(snapshot, &manifest).await?;
    Ok(manifest)
}
