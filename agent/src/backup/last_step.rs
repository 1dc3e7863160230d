//! The last step of a snapshot: its signature is stored, then the manifest that makes it exist. A run that is killed
//! between the two leaves a snapshot that is whole and does not exist, and looks like one whose manifest was lost. So
//! the manifest is kept in the state directory first, and the next run stores what is missing.

use std::path::PathBuf;

use crate::archive::manifest::{self, Manifest, Origin};
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::catalog::state::StateDir;
use crate::disk;
use crate::error::Result;
use crate::names::SnapshotId;
use crate::repository::Repository;
use crate::repository::writer::SnapshotWriter;

/// The directory of manifests that are being stored.
pub struct LastSteps {
    dir: PathBuf,
}

impl LastSteps {
    /// Of a run that holds this state directory.
    pub fn of(state: &StateDir) -> Result<LastSteps> {
        Ok(LastSteps { dir: state.last_steps_dir()? })
    }

    /// Makes the snapshot exist.
    pub async fn publish(
        &self,
        snapshot: &SnapshotWriter,
        manifest: &Manifest,
        key: &SigningKey,
    ) -> Result<()> {
        let bytes = snapshot.manifest_bytes(manifest)?;
        let kept = self.dir.join(snapshot.id().as_str());
        disk::replace_durable(&kept, &bytes)?;
        snapshot.publish(bytes, key).await?;
        remove(&kept);
        Ok(())
    }

    /// Stores the manifests of snapshots whose run was cut short in its last step; their IDs. A manifest that cannot be
    /// read, or does not fit the signature, is a warning and stops no backup.
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
            let bytes = match read {
                Ok((manifest, _)) if manifest.origin != *origin => continue, // of another repository
                Ok((_, bytes)) => bytes,
                Err(e) => {
                    tracing::warn!("the manifest that is kept of snapshot {id} cannot be read: {e:?}");
                    continue;
                }
            };
            match repository.finish_snapshot(&id, bytes, &trusted).await {
                Ok(done) => finished.extend(done.then_some(id)),
                Err(e) if e.kind() == crate::error::Kind::Signature => {
                    tracing::warn!("snapshot {id} of an earlier run cannot be completed: {e:?}");
                }
                Err(e) => return Err(e),
            }
            remove(&entry.path());
        }
        Ok(finished)
    }
}

/// One that stays is looked at again by the next run, and is nothing that a run should fail for.
fn remove(kept: &std::path::Path) {
    if let Err(e) = disk::remove_file(kept) {
        tracing::warn!("{e:?}");
    }
}
