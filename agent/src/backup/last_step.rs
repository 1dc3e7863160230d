//! The last step of a snapshot: its signature is stored, then the manifest that makes it exist. A run that is
//! killed between the two leaves a complete snapshot without a manifest, which looks like one whose manifest
//! was lost. So the manifest is first kept in the state directory, and the next run stores it.

use std::path::PathBuf;
use std::time::Duration;

use crate::archive::manifest::{self, Manifest, Origin, SnapshotKind};
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::catalog::state::StateDir;
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Kind, Result};
use crate::inventory::needs::Graph;
use crate::names::SnapshotId;
use crate::repository::Repository;
use crate::repository::tombstones::{Tombstones, announcers};
use crate::repository::writer::SnapshotWriter;

/// A publication that took so long may have been stopped in the middle: what it needs is looked at again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Shorter than any `expire.grace`.
const YOUNG_FOR: Duration = Duration::from_secs(30 * 60);

/// The directory of manifests that are being stored.
pub struct LastSteps {
    dir: PathBuf,
    tombstones: Tombstones,
}

impl LastSteps {
    /// The last steps of a run that has locked this state directory.
    pub fn of(state: &StateDir, config: &Config, signing: &SigningKey) -> Result<LastSteps> {
        let tombstones = Tombstones::of(announcers(config)?.with(signing));
        Ok(LastSteps { dir: state.last_steps_dir()?, tombstones })
    }

    /// Publishes the snapshot, if it and what it needs are there and stay.
    ///
    /// # Errors
    /// `Conflict` where some of it was deleted, or is about to be: the run was stopped for long.
    pub async fn publish(
        &self,
        snapshot: &SnapshotWriter,
        manifest: &Manifest,
        key: &SigningKey,
    ) -> Result<()> {
        let bytes = snapshot.manifest_bytes(manifest)?;
        let (begun, begun_by_date) = (clock::instant(), clock::now());
        self.check(snapshot.repository(), manifest).await?;
        let kept = self.dir.join(snapshot.id().as_str());
        disk::replace_durable(&kept, &bytes)?;
        snapshot.publish(bytes, key).await?;
        remove(&kept);
        // A machine that was suspended shows it by the date alone.
        let by_date = clock::now().duration_since(begun_by_date).unsigned_abs();
        if begun.elapsed().max(by_date) < AGAIN_AFTER {
            return Ok(());
        }
        self.check(snapshot.repository(), manifest).await.map_err(|e| match e.kind() {
            Kind::Conflict => e.effect(format!("snapshot {} is stored, but incomplete", snapshot.id())),
            _ => e,
        })
    }

    /// Batches need nothing, and a young one was not deleted as unfinished: each of the many asks nothing.
    async fn check(&self, repository: &Repository, manifest: &Manifest) -> Result<()> {
        let since = clock::now().checked_sub(YOUNG_FOR).unwrap_or(clock::Timestamp::MIN);
        let is_young = manifest.id > SnapshotId::new(since, SnapshotKind::Arrivals.as_str());
        if manifest.kind() == SnapshotKind::Arrivals && is_young {
            return Ok(());
        }
        let mut needed = Graph::of([manifest]).needs(&manifest.id);
        needed.remove(&manifest.id);
        self.tombstones.check(repository, &manifest.id, &needed, &manifest.origin).await
    }

    /// Stores the manifests of snapshots whose run was killed in its last step; returns their IDs. A manifest
    /// that cannot be read, or does not match the signature, is only logged.
    pub async fn finish(
        &self,
        repository: &Repository,
        origin: &Origin,
        signing: &SigningKey,
    ) -> Result<Vec<SnapshotId>> {
        let trusted = TrustedKeys::default().with(signing);
        let mut finished = Vec::new();
        for entry in disk::read_dir(&self.dir)?.unwrap_or_default() {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<SnapshotId>().ok()) else {
                remove(&entry.path()); // half a file of a run that was killed while it wrote it
                continue;
            };
            let read = disk::read(&entry.path(), manifest::BYTES_MAX).and_then(|bytes| {
                Manifest::parse(&id, repository.instance(), &bytes).map(|manifest| (manifest, bytes))
            });
            let (manifest, bytes) = match read {
                Ok((manifest, _)) if manifest.origin != *origin => continue, // of another repository
                Ok(read) => read,
                Err(e) => {
                    tracing::warn!("the manifest that is kept of snapshot {id} cannot be read: {e:?}");
                    continue;
                }
            };
            let finish = async {
                self.check(repository, &manifest).await?;
                let repository = repository.for_snapshot(manifest.kind(), manifest.tenant.as_ref());
                repository.finish_snapshot(&id, bytes, &trusted).await
            };
            match finish.await {
                Ok(done) => finished.extend(done.then_some(id)),
                Err(e) if matches!(e.kind(), Kind::Signature | Kind::Conflict) => {
                    tracing::warn!("snapshot {id} of an earlier run cannot be completed: {e:?}");
                }
                Err(e) => return Err(e),
            }
            remove(&entry.path());
        }
        Ok(finished)
    }
}

/// A file that cannot be removed is looked at again by the next run; a run must not fail because of it.
fn remove(kept: &std::path::Path) {
    if let Err(e) = disk::remove_file(kept) {
        tracing::warn!("{e:?}");
    }
}
