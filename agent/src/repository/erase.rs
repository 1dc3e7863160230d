//! Deletes snapshots, batches, WAL and garbage: the only place that does. What goes was decided by a plan of
//! expire and named by a tombstone a grace before.
//!
//! The manifest goes first: from then on the snapshot does not exist, and nobody reads the rest. Where it
//! cannot be deleted (a lock, a refusal), the snapshot stays whole. A run that is killed leaves objects
//! without a manifest, which a later run deletes as an unfinished snapshot.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::manifest::{self, SnapshotKind};
use crate::archive::tombstone;
use crate::archive::wal::WalName;
use crate::error::{Error, Result};
use crate::names::SnapshotId;
use crate::repository::{Repository, layout};
use crate::store::UnfinishedUpload;

/// Folders listed at a time.
const LISTED_AT_ONCE: usize = 8;
/// Objects of several folders that are deleted together; S3 takes as many in one request.
const BATCH: usize = 1_000;

/// What is deleted.
#[derive(Clone, Debug, Default)]
pub struct Doomed {
    /// Snapshots and batches: each before what it needs.
    pub snapshots: Vec<SnapshotId>,
    /// Snapshots without a manifest.
    pub unfinished: Vec<SnapshotId>,
    /// WAL.
    pub wal: Vec<WalName>,
    /// Objects that belong to nothing, by their keys.
    pub garbage: Vec<String>,
    /// Uploads that nobody will finish.
    pub uploads: Vec<UnfinishedUpload>,
    /// Tombstones that name something that is needed after all.
    pub withdrawn: Vec<SnapshotId>,
}

/// What was deleted.
#[derive(Debug, Default)]
pub struct Erased {
    /// Snapshots, with a manifest or without.
    pub snapshots: usize,
    /// Batches.
    pub batches: usize,
    /// Objects of WAL.
    pub wal: u64,
    /// Objects that belonged to nothing.
    pub garbage: u64,
    /// Unfinished uploads.
    pub uploads: usize,
    /// All objects.
    pub objects: u64,
    /// What could not be deleted, and why.
    pub failed: Vec<(String, Error)>,
}

impl Repository {
    /// Deletes it. What cannot be deleted does not stop the rest.
    ///
    /// # Errors
    /// `Refused` of a repository as it was at some time; `Internal`.
    pub async fn erase(&self, doomed: &Doomed) -> Result<Erased> {
        let mut erased = Erased::default();
        let tombstones = doomed.withdrawn.iter().flat_map(|run| {
            [tombstone::JSON, tombstone::SIGNATURE].map(|name| layout::tombstone(self.instance(), run, name))
        });
        self.remove(tombstones.collect(), &mut erased).await?;
        let manifest = |id: &SnapshotId| layout::object(self.instance(), id, manifest::NAME);
        self.remove(doomed.snapshots.iter().map(manifest).collect(), &mut erased).await?;
        let failed: HashSet<&str> = erased.failed.iter().map(|(key, _)| key.as_str()).collect();
        let is_there = |id: &&SnapshotId| failed.contains(manifest(id).as_str());
        let mut gone: Vec<&SnapshotId> = doomed.snapshots.iter().filter(|id| !is_there(id)).collect();
        for id in &doomed.unfinished {
            // Its run may have been completed since.
            match self.store().head(&manifest(id)).await {
                Ok(None) => gone.push(id),
                Ok(Some(_)) => {}
                Err(e) => erased.failed.push((manifest(id), e)),
            }
        }
        erased.batches = gone.iter().filter(|id| id.kind() == SnapshotKind::Arrivals.as_str()).count();
        erased.snapshots = gone.len() - erased.batches;
        let folders: Vec<String> = gone.iter().map(|id| layout::snapshot(self.instance(), id)).collect();
        let mut listed = stream::iter(folders)
            .map(|folder| async move {
                let keys = self.store().list(&folder).map_ok(|info| info.key);
                (keys.try_collect::<Vec<String>>().await, folder)
            })
            .buffered(LISTED_AT_ONCE);
        let mut batch = Vec::new();
        while let Some((keys, folder)) = listed.next().await {
            match keys {
                Ok(keys) => batch.extend(keys),
                Err(e) => erased.failed.push((folder, e)),
            }
            while batch.len() >= BATCH {
                self.remove(batch.drain(..BATCH).collect(), &mut erased).await?;
            }
        }
        drop(listed);
        self.remove(batch, &mut erased).await?;
        let before = erased.objects;
        let wal = doomed.wal.iter().map(|name| layout::wal_object(self.instance(), name));
        self.remove(wal.collect(), &mut erased).await?;
        erased.wal = erased.objects - before;
        let before = erased.objects;
        self.remove(doomed.garbage.clone(), &mut erased).await?;
        erased.garbage = erased.objects - before;
        for upload in &doomed.uploads {
            match self.store().abort_upload(upload).await {
                Ok(()) => erased.uploads += 1,
                Err(e) => erased.failed.push((upload.key.clone(), e)),
            }
        }
        Ok(erased)
    }

    async fn remove(&self, keys: Vec<String>, erased: &mut Erased) -> Result<()> {
        let removed = self.store().remove(keys).await?;
        erased.objects += removed.removed;
        erased.failed.extend(removed.failed);
        Ok(())
    }
}
