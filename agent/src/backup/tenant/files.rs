//! The filestore of a tenant: where it is, and its backup.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::backup::filestore::{self, Failure, Sync, Synced, open_known};
use crate::backup::job::{Job, on_blocking_thread};
use crate::backup::pace::Pace;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::odoo::filestore as walked;
use crate::repository::writer::SnapshotWriter;

/// Backs up the filestore; nothing is published yet.
pub(super) async fn sync(
    job: &Job,
    tenant: &TenantName,
    snapshot: &Arc<SnapshotWriter>,
    snapshots: &[SnapshotId],
    cancel: &CancellationToken,
) -> Result<Synced> {
    let (place, dir) = open(job, tenant)?;
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
                place: &place,
                dir: dir.as_ref(),
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
