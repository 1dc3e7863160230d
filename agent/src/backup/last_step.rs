//! The last step of a snapshot: its signature is stored, then the manifest that makes it exist. A run that is
//! killed between the two leaves a complete snapshot without a manifest, which looks like one whose manifest
//! was lost. So the manifest is first kept in the state directory, and the next run stores it.

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
    /// The last steps of a run that has locked this state directory.
    pub fn of(state: &StateDir) -> Result<LastSteps> {
        Ok(LastSteps { dir: state.last_steps_dir()? })
    }

    /// Publishes the snapshot.
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

/// A file that cannot be removed is looked at again by the next run; a run must not fail because of it.
fn remove(kept: &std::path::Path) {
    if let Err(e) = disk::remove_file(kept) {
        tracing::warn!("{e:?}");
    }
}
