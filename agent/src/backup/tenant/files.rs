//! The filestore of a tenant: where it is, and its backup.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::backup::filestore::{self, Failure, Sync, Synced, compact, open_known};
use crate::backup::job::{Job, on_blocking_thread};
use crate::backup::pace::Pace;
use crate::catalog::known::Known;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName, counted};
use crate::odoo::filestore as walked;
use crate::repository::snapshots::Trust;
use crate::repository::writer::SnapshotWriter;

/// Manifests that are read for the sizes of old snapshots in one run.
const SIZES_ASKED: usize = 16;

/// Backs up the filestore; nothing is published yet.
pub(super) async fn sync(
    job: &Job,
    tenant: &TenantName,
    snapshot: &Arc<SnapshotWriter>,
    (snapshots, full): (&[SnapshotId], bool),
    cancel: &CancellationToken,
) -> Result<Synced> {
    let (place, dir) = open(job, tenant)?;
    let known_file = job.state.known_file(tenant);
    let repository_id = job.repository.id().to_owned();
    let snapshots = snapshots.to_vec();
    let (workers, chain_max) = (job.backup.workers, job.backup.filestore_chain_max);
    let pace = Pace::new(job.backup.read_bytes_per_second_max, cancel.clone());
    let (progress, tenant, snapshot) = (job.progress.clone(), tenant.clone(), snapshot.clone());
    let file = known_file.clone();
    let mut known = match full {
        true => Err(Some("--full was given".to_owned())),
        false => on_blocking_thread(move || Ok(open_known(&file, &repository_id, &snapshots))).await?,
    };
    let mut again = BTreeSet::new();
    if let Ok(reader) = &mut known {
        learn_sizes(job, &mut reader.known).await;
        let (percent, bytes_max) = (job.backup.filestore_compact, job.backup.filestore_compact_max);
        again = compact::choose(&reader.known, percent, bytes_max);
        if !again.is_empty() {
            let count = counted(again.len(), "old snapshot");
            progress.note(format!("{tenant}: storing the files again of which {count} have little left"));
        }
    }
    on_blocking_thread(move || {
        loop {
            if let Err(Some(why)) = &known {
                progress.note(format!("{tenant}: reading the whole filestore: {why}"));
            }
            let request = Sync {
                place: &place,
                dir: dir.as_ref(),
                known_file: &known_file,
                known,
                again: std::mem::take(&mut again),
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

/// Asks for the sizes of sources that a record of an older version does not know, a few in each run.
async fn learn_sizes(job: &Job, known: &mut Known) {
    if job.backup.filestore_compact == 0 {
        return;
    }
    let trust = &Trust::Keys(job.trusted.clone());
    let unknown = |id: &&SnapshotId| known.held.get(*id).is_some_and(|one| one.stored.is_none());
    let ids: Vec<SnapshotId> = known.sources.iter().filter(unknown).take(SIZES_ASKED).cloned().collect();
    let asked = ids.into_iter().map(|id| async move {
        let stored = match job.repository.manifest(&id, &job.origin, trust).await {
            Ok(manifest) => Some(manifest.plain_bytes),
            // Its files stay where they are.
            Err(e) if e.is_damage() || e.kind() == Kind::NotFound => Some(0),
            Err(_) => None,
        };
        (id, stored)
    });
    for (id, stored) in futures::future::join_all(asked).await {
        if let Some(one) = known.held.get_mut(&id) {
            one.stored = stored;
        }
    }
}

/// Where the filestore should be, and its handle. A tenant without attachments may have no directory. A data
/// directory without `filestore` is a wrong path, and an empty backup of it would be wrong.
pub(super) fn open(job: &Job, tenant: &TenantName) -> Result<(PathBuf, Option<Dir>)> {
    let data_dir = job.data_dir.as_ref().ok_or_else(|| {
        Error::new(Kind::Config, "odoo.data_dir is not set").next("set it, or back up with --kind dump")
    })?;
    let place = data_dir.join("filestore");
    if walked::open_all(data_dir)?.is_none() {
        return Err(Error::new(Kind::Filestore, format!("{} does not exist", place.display()))
            .effect(format!("the filestore of {tenant} was not backed up"))
            .next("set odoo.data_dir to Odoo's data_dir, the directory that holds filestore/"));
    }
    Ok((place.join(tenant.as_str()), walked::open(data_dir, tenant.as_str())?))
}
