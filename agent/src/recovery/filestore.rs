//! The filestore's half of a restore: into a staging directory beside its final place, renamed
//! when everything is durable.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::Manifest;
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::progress::Progress;
use crate::recovery::extract::{Extract, extract};
use crate::recovery::file_owner;
use crate::recovery::place::FilestorePlan;
use crate::recovery::plan::Prepared;
use crate::recovery::staging;
use crate::recovery::wanted::Wanted;
use crate::repository::Repository;

/// What is staged, from where.
pub(super) struct Staging<'a> {
    pub(super) plan: &'a FilestorePlan,
    /// Odoo's data directory.
    pub(super) data_dir: &'a Path,
    pub(super) repository: &'a Repository,
    pub(super) identities: &'a Arc<Identities>,
    /// Of every snapshot that is named.
    pub(super) manifests: HashMap<SnapshotId, Manifest>,
    pub(super) workers: usize,
}

/// Fetches everything into the staging directory, checks it, makes it durable.
pub async fn stage(
    prepared: &Prepared,
    plan: &FilestorePlan,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<()> {
    let Some(data_dir) = &prepared.data_dir else {
        return Err(Error::new(Kind::Internal, "a filestore is planned without a data directory"));
    };
    let staging = Staging {
        plan,
        data_dir,
        repository: &prepared.repository,
        identities: &prepared.identities,
        manifests: prepared.manifests.clone(),
        workers: prepared.workers,
    };
    let (repository, identities, snapshot) =
        (prepared.repository.clone(), prepared.identities.clone(), plan.snapshot.clone());
    let read = move |manifests: &HashMap<SnapshotId, Manifest>| {
        let manifest = manifests.get(&snapshot).ok_or_else(|| {
            Error::new(Kind::Integrity, format!("snapshot {snapshot} does not name itself in its chain"))
        })?;
        let facts = manifest.filestore_facts()?;
        let wanted = Wanted::filestore(&repository, &Handle::current(), facts, manifests, &identities)?;
        if wanted.files().len() as u64 != facts.files || wanted.bytes != facts.bytes {
            return Err(Error::new(
                Kind::Integrity,
                format!(
                    "the indexes of {snapshot} give {} files, its manifest says {}",
                    wanted.files().len(),
                    facts.files
                ),
            ));
        }
        Ok(wanted)
    };
    staging.run(read, progress, cancel).await
}

impl Staging<'_> {
    /// Fetches the files that `read` gives. It runs on a blocking thread.
    pub(super) async fn run(
        self,
        read: impl FnOnce(&HashMap<SnapshotId, Manifest>) -> Result<Wanted> + Send + 'static,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let Staging { plan, data_dir, repository, identities, manifests, workers } = self;
        let owner = file_owner(data_dir)?;
        let (repository, identities) = (repository.clone(), identities.clone());
        let (planned, progress, cancel) = (plan.clone(), progress.clone(), cancel.clone());
        tokio::task::spawn_blocking(move || {
            let wanted = read(&manifests)?;
            let (all, dir) = staging::open(&planned, owner)?;
            extract(&Extract {
                repository: &repository,
                runtime: &Handle::current(),
                manifests: &manifests,
                identities: &identities,
                wanted: &wanted,
                dir: &dir,
                dir_mode: staging::dir_mode(&all)?,
                owner,
                workers,
                progress: &progress,
                cancel: &cancel,
            })?;
            dir.sync_file_system().map_err(|e| Error::file("sync", dir.path(), e))
        })
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "fetching the filestore panicked").because(e)))
        .map_err(|e| {
            e.effect(format!("what was fetched so far is left in {}", plan.staging.display()))
                .safe("running the same restore again continues there")
        })
    }
}
