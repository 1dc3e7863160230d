//! Backs up one tenant: first the database's point, then the filestore, both at the same time from there on;
//! then the reconciliation; then the manifests, the filestore's before the dump's that names it.

mod explain;
mod files;
mod held_in;
mod publish;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::elsewhere::Elsewheres;
use crate::archive::manifest::{FilestoreLink, Manifest, SnapshotKind};
use crate::backup::dump;
use crate::backup::job::{Job, on_blocking_thread};
use crate::backup::reconcile::{self, Names};
use crate::backup::suspicion::{Before, DatabaseMeasured, Measured};
use crate::catalog::suspicion::Alarm;
use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::odoo::attachments::{AttachmentFile, each_attachment_file};
use crate::odoo::baseline::Baseline;
use crate::odoo::fence::Fence;
use crate::postgres::database::{database_bytes, database_oid};
use crate::postgres::snapshot::SnapshotSession;
use crate::postgres::tools::Tools;
use explain::explain;
use files::sync;
use publish::{dump_facts, publish_dump, publish_filestore};

/// How many points are tried where files were deleted meanwhile.
const POINTS_MAX: u32 = 3;

/// What to back up of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// The database.
    pub dump: bool,
    /// The filestore.
    pub filestore: bool,
    /// Whether all files of the filestore are stored again.
    pub full: bool,
}

/// What was stored of a tenant.
#[derive(Debug, Serialize)]
pub struct TenantReport {
    /// The tenant.
    pub tenant: TenantName,
    /// The dump, where requested.
    pub dump: Option<Manifest>,
    /// The filestore, where requested.
    pub filestore: Option<Manifest>,
    /// How it differs from the backup before as no normal work explains; `None` if it does not.
    pub suspicious: Option<Alarm>,
    /// How long it took.
    pub seconds: f64,
}

impl TenantReport {
    fn stored(tenant: &TenantName, dump: Option<Manifest>, filestore: Option<Manifest>) -> TenantReport {
        TenantReport { tenant: tenant.clone(), dump, filestore, suspicious: None, seconds: 0.0 }
    }

    /// Files that the dumped database names and the repository does not hold, or only damaged.
    pub fn missing_files(&self) -> u64 {
        let link = self.dump.as_ref().and_then(|m| m.link());
        link.map_or(0, FilestoreLink::missing_count)
    }

    /// Files of a filestore backed up without its database that could not be read, or are damaged. With a
    /// dump, the database says which files it needs, and `missing_files` counts them; here every file on disk
    /// counts.
    pub fn unheld_files(&self) -> u64 {
        let facts = self.filestore.as_ref().and_then(|m| m.filestore());
        facts.filter(|_| self.dump.is_none()).map_or(0, |facts| facts.problem_files)
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
    let before = Before::read(job, tenant);
    let (mut report, measured) = if kinds.dump {
        let mut points = 0;
        loop {
            points += 1;
            let ids = before.max_ids();
            if let Some(done) =
                dump_and_filestore(job, tools, tenant, kinds, snapshots, (points, &ids)).await?
            {
                break done;
            }
            job.progress.note(format!(
                "{tenant}: files named by the database were deleted during the backup; starting again from a new database snapshot"
            ));
        }
    } else {
        let snapshot = job.begin_snapshot(SnapshotKind::Filestore, Some(tenant));
        let synced = sync(job, tenant, &snapshot, (snapshots, kinds.full), &job.cancel).await?;
        let files = Some(synced.changes);
        let filestore = publish_filestore(job, tenant, &snapshot, synced).await?;
        (TenantReport::stored(tenant, None, Some(filestore)), Measured { database: None, files })
    };
    let stored = (report.dump.as_ref(), report.filestore.as_ref());
    report.suspicious = before.compare(job, tenant, measured, stored).await;
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// `None` where a new point should be tried. `ids` are the highest ones of the backup before.
async fn dump_and_filestore(
    job: &Job,
    tools: &Tools,
    tenant: &TenantName,
    kinds: Kinds,
    snapshots: &[SnapshotId],
    (points, ids): (u32, &BTreeMap<String, i64>),
) -> Result<Option<(TenantReport, Measured)>> {
    let snapshot = job.begin_snapshot(SnapshotKind::Dump, Some(tenant));
    let fence = match kinds.filestore && job.backup.fence_seconds_max > 0 {
        true => Some(
            Fence::hold(&job.postgres, tenant.as_str(), Duration::from_secs(job.backup.fence_seconds_max))
                .await,
        ),
        false => None,
    };
    job.progress.stage(format!("{tenant}: database point"));
    let cancel = job.cancel.child_token();
    let postgres = job.postgres.clone().stopped_by(&cancel);
    let at = clock::now();
    let mut point = SnapshotSession::begin(&postgres, tenant.as_str()).await?;
    let (mut names, mut lies_elsewhere) = (None, Elsewheres::default());
    if kinds.filestore {
        let mut spool = Names::create(job.state.scratch_file("attachments")?)?;
        let scratch = || job.state.unnamed_file();
        let spool_file = |file: AttachmentFile| {
            match lies_elsewhere.add(&file.store_fname, file.rows, file.file_size.unwrap_or(0)) {
                true => Ok(()), // no backup of the filestore can hold it
                false => spool.add(file.store_fname, file.file_size),
            }
        };
        each_attachment_file(&mut point.session, scratch, spool_file).await?;
        spool.end()?;
        names = Some(spool);
    }
    job.progress.stage(format!("{tenant}: database and filestore"));
    let (lsn, time, id) = (point.lsn, point.time, point.exported.clone());
    let filestore = kinds.filestore.then(|| job.begin_snapshot(SnapshotKind::Filestore, Some(tenant)));
    let dumping = stops_others(&cancel, async {
        let (dumped, baseline) = tokio::join!(
            stops_others(&cancel, dump::dump(job, tools, &snapshot, tenant, &id, &cancel)),
            stops_others(&cancel, measure(&mut point, ids, at))
        );
        let (dumped, baseline) = first_reason(dumped, baseline)?;
        point.end().await?;
        Ok((dumped, baseline))
    });
    let syncing = stops_others(&cancel, async {
        let synced = match &filestore {
            Some(filestore) => Some(sync(job, tenant, filestore, (snapshots, kinds.full), &cancel).await?),
            None => None,
        };
        let fence = match fence {
            Some(fence) => fence.release().await.to_string(),
            None => "not requested".to_owned(),
        };
        Ok((synced, fence))
    });
    let (dumped, synced) = tokio::join!(dumping, syncing);
    let ((dumped, (baseline, measured, database_bytes)), (synced, fence)) = first_reason(dumped, synced)?;
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
    let files = synced.as_ref().map(|synced| synced.changes);
    let published = match (&filestore, synced) {
        (Some(filestore), Some(synced)) => Some(publish_filestore(job, tenant, filestore, synced).await?),
        _ => None,
    };
    let elsewhere = lies_elsewhere.finish();
    let referenced_elsewhere: u64 = elsewhere.iter().map(|of| of.files).sum();
    let link = published.as_ref().zip(missing).map(|(manifest, (told, count, referenced))| FilestoreLink {
        snapshot: manifest.id.clone(),
        referenced: referenced + referenced_elsewhere,
        missing_files: count,
        missing: told,
        elsewhere,
        fence,
    });
    let cold = snapshot.cold().cloned();
    let facts = dump_facts(job, tools, dumped, &baseline, database_bytes, link, cold);
    let dump = publish_dump(job, tenant, &snapshot, facts, baseline, lsn, time).await?;
    let measured = Measured { database: Some(measured), files };
    Ok(Some((TenantReport::stored(tenant, Some(dump), published), measured)))
}

async fn measure(
    point: &mut SnapshotSession,
    ids: &BTreeMap<String, i64>,
    at: Timestamp,
) -> Result<(Baseline, DatabaseMeasured, u64)> {
    let (baseline, tables) = Baseline::take_counting(&mut point.session, ids).await?;
    let bytes = database_bytes(&mut point.session).await?;
    let oid = database_oid(&mut point.session).await?;
    let measured = DatabaseMeasured::of(&baseline, tables, (at, point.lsn, oid));
    Ok((baseline, measured, bytes))
}

/// Stops the work that runs beside it when it fails.
async fn stops_others<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    work.await.inspect_err(|_| cancel.cancel())
}

/// Of two that ran at the same time, the error that stopped the other.
fn first_reason<A, B>(a: Result<A>, b: Result<B>) -> Result<(A, B)> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => Err(if a.kind() == Kind::Interrupted { b } else { a }),
        (Err(e), _) | (_, Err(e)) => Err(e),
    }
}
