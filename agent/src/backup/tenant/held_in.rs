//! Files that the source has lost and an earlier backup holds. This host cannot decrypt its backups, so it
//! uses what it has recorded: the filestore at the last backup, what following stored, and what this module
//! found before.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::archive::index::Line;
use crate::backup::job::{Job, on_blocking_thread};
use crate::catalog::held::Held;
use crate::catalog::known;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::repository::layout;

/// Largest record that is read: as many names as a manifest lists.
const RECORD_BYTES_MAX: u64 = 1 << 20;

type Homes = BTreeMap<String, SnapshotId>;

/// Which snapshot of this tenant, or batch with files of it, holds each of `lost`, where that is known and it
/// still exists. The answer is recorded for the next backup, whose record of the filestore lacks these files.
///
/// # Errors
/// Where the repository could not be asked; files that this host has no record of are not found.
pub(super) async fn held_in(job: &Job, tenant: &TenantName, lost: &HashSet<String>) -> Result<Homes> {
    let record = job.state.lost_file(tenant);
    let mut homes = read(&record);
    homes.retain(|name, _| lost.contains(name));
    if let Ok(held) = Held::of_tenant(&job.state.held_file(), job.repository.id(), tenant, lost).await {
        homes.extend(held);
    }
    homes.extend(last_known(job, tenant, lost).await);
    let ids: HashSet<SnapshotId> = homes.values().cloned().collect();
    for id in ids {
        let key = layout::object(job.repository.instance(), &id, crate::archive::manifest::NAME);
        if job.repository.store().head(&key).await?.is_none() {
            homes.retain(|_, home| *home != id);
        }
    }
    match homes.is_empty() {
        true => disk::remove_file(&record)?,
        false => {
            let text = serde_json::to_vec(&homes)
                .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
            disk::replace_durable(&record, &text)?;
        }
    }
    Ok(homes)
}

/// A record that cannot be read counts as empty and is written again.
fn read(record: &Path) -> Homes {
    disk::read(record, RECORD_BYTES_MAX)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// From the record of the filestore at the last backup; the next one is not published yet.
async fn last_known(job: &Job, tenant: &TenantName, lost: &HashSet<String>) -> Homes {
    let (file, repository, lost) =
        (job.state.known_file(tenant), job.repository.id().to_owned(), lost.clone());
    let read = on_blocking_thread(move || {
        let Some(reader) = known::open(&file)?.filter(|reader| reader.known.repository == repository) else {
            return Ok(Homes::new());
        };
        let table = reader.index.header().snapshots.clone();
        let mut homes = Homes::new();
        for line in reader.index {
            let Line::File(entry) = line? else { continue };
            let home = entry.parts.first().and_then(|part| table.get(part.snapshot as usize));
            if let Some(home) = home.filter(|_| entry.flaw.is_none() && lost.contains(&entry.path)) {
                homes.insert(entry.path, home.clone());
            }
        }
        Ok(homes)
    });
    read.await.unwrap_or_else(|e| {
        tracing::debug!("the record of the last backup of {tenant} cannot be read: {e:?}");
        Homes::new()
    })
}
