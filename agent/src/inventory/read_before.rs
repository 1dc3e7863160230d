//! What this host read before (`catalog::manifests`), for commands that only show or plan: beside a
//! listing, an inventory then costs requests only for what is new.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt;

use crate::archive::digest::Sha256;
use crate::archive::manifest::{self, Manifest, Origin};
use crate::archive::seen_names::SeenNames;
use crate::catalog::manifests::{self, About, Mark};
use crate::catalog::state::StateDir;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Inventory, Snapshot};
use crate::names::SnapshotId;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::store::ObjectInfo;

/// What this host read before of one repository.
pub struct ReadBefore {
    /// The files of manifests and of names.
    files: [PathBuf; 2],
    key: Sha256,
    manifests: Mutex<HashMap<SnapshotId, (About, Manifest)>>,
    names: Arc<SeenNames>,
    listed: Mutex<Listed>,
}

/// A listing: of each snapshot its manifest and its signature, where they are there.
type Listed = BTreeMap<SnapshotId, [Option<Mark>; 2]>;

impl ReadBefore {
    /// What is known. `None` of a directory, of the past, and where unsigned manifests count: then all of it
    /// is read.
    ///
    /// # Errors
    /// Those of the store, if the description of the repository cannot be read.
    pub async fn open(config: &Config, repository: &Repository, trust: &Trust) -> Result<Option<ReadBefore>> {
        let Trust::Keys(keys) = trust else { return Ok(None) };
        if repository.store().is_local() || config.repository.as_of.is_some() {
            return Ok(None);
        }
        let Origin { repository: id, repository_sha256, instance, instance_sha256 } =
            repository.origin().await?;
        let url = repository.store().url();
        let keys = keys.digest();
        let key = format!(
            "{}\n{url}\n{id}\n{repository_sha256}\n{instance}\n{instance_sha256}\n{keys}\n",
            manifests::FORMAT
        );
        let key = Sha256::of(key.as_bytes());
        let files = StateDir::known_repository_files_of(&config.state_dir, &config.instance);
        let [of_manifests, of_names] = files.clone();
        let read = move || (manifests::read(&of_manifests, key), manifests::read_names(&of_names, key));
        let (manifests, names) = tokio::task::spawn_blocking(read).await.unwrap_or_default();
        let names = Arc::new(SeenNames::new(names));
        Ok(Some(ReadBefore { files, key, manifests: Mutex::new(manifests), names, listed: Mutex::default() }))
    }

    /// The names of WAL that need not be checked.
    pub fn names(&self) -> Arc<SeenNames> {
        self.names.clone()
    }

    /// Lists the snapshots with their manifests; one request for a thousand objects.
    pub(super) async fn list(&self, repository: &Repository) -> Result<Vec<SnapshotId>> {
        let folder = format!("{}/", layout::snapshots(repository.instance()));
        let mut found = Listed::new();
        let mut objects = repository.store().list(folder.trim_end_matches('/'));
        let mut last: Option<SnapshotId> = None;
        while let Some(info) = objects.try_next().await? {
            let parts = info.key.strip_prefix(&folder).and_then(|rest| rest.split_once('/'));
            let Some((id, name)) = parts else { continue };
            if last.as_ref().is_none_or(|last| last.as_str() != id) {
                let Ok(id) = id.parse::<SnapshotId>() else { continue };
                found.entry(id.clone()).or_default();
                last = Some(id);
            }
            let place = [manifest::NAME, manifest::SIGNATURE_NAME].iter().position(|own| *own == name);
            if let (Some(place), Some(id)) = (place, &last)
                && let Some(marks) = found.get_mut(id)
            {
                marks[place] = mark(info);
            }
        }
        let ids = found.keys().cloned().collect();
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(ids)
    }

    /// The snapshot, if it is known and listed as it was.
    pub(super) fn take(&self, id: &SnapshotId) -> Option<Snapshot> {
        let (about, manifest) = self.manifests.lock().unwrap_or_else(PoisonError::into_inner).remove(id)?;
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let [Some(one), Some(other)] = listed.get(id)? else { return None };
        (about.marks.each_ref() == [one, other]).then_some(Snapshot {
            manifest,
            stored_bytes: about.stored_bytes,
            held_in: about.held_in,
            misses_unnamed: about.misses_unnamed,
            stored_at: about.stored_at,
        })
    }

    /// Keeps what is believed of this inventory, which was `read` from the store as far as that says. Where
    /// this host cannot keep it, the next command reads it again.
    pub(super) async fn keep(self: &Arc<ReadBefore>, inventory: Inventory, read: usize) -> Inventory {
        if read == 0 {
            return inventory;
        }
        let known = self.clone();
        let keep = move || {
            let kept = || inventory.believed().filter_map(|one| Some((known.about(one)?, &one.manifest)));
            noted(manifests::write(&known.files[0], known.key, kept()));
            inventory
        };
        match tokio::task::spawn_blocking(keep).await {
            Ok(inventory) => inventory,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    /// Keeps the names of WAL that were checked.
    pub async fn keep_names(&self) {
        let (Some(names), key, file) = (self.names.to_keep(), self.key, self.files[1].clone()) else {
            return;
        };
        let keep = move || noted(manifests::write_names(&file, key, &names));
        noted(
            tokio::task::spawn_blocking(keep)
                .await
                .map_err(|e| Error::new(Kind::Internal, "keeping names panicked").because(e)),
        );
    }

    fn about(&self, one: &Snapshot) -> Option<About> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let marks: [Option<Mark>; 2] = listed.get(&one.manifest.id)?.clone();
        let [Some(own), Some(signature)] = marks else { return None };
        // Another one may have been written since the listing. Of that, some stores tell fractions of a
        // second.
        (own.modified.as_second() == one.stored_at.as_second()).then(|| About {
            marks: [own, signature],
            stored_at: one.stored_at,
            stored_bytes: one.stored_bytes,
            held_in: one.held_in.clone(),
            misses_unnamed: one.misses_unnamed,
        })
    }
}

/// How a listing shows an object; `None` without an entity tag.
fn mark(info: ObjectInfo) -> Option<Mark> {
    let ObjectInfo { bytes, modified, etag, odd, .. } = info;
    Some(Mark { etag: etag.filter(|_| odd.is_none())?, bytes, modified })
}

fn noted(kept: Result<()>) {
    if let Err(e) = kept {
        tracing::debug!("what was read is not kept on this host: {e:?}");
    }
}
