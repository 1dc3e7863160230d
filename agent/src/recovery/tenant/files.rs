//! The attachments of a recovered database: each file that its rows name, from whichever backup of
//! the filestore holds it. Names are digests of content, so any backup's file of that name serves.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::archive::manifest::{Manifest, Origin};
use crate::archive::path::escape;
use crate::archive::seal::Identities;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::recovery::wanted::Wanted;
use crate::repository::Repository;
use crate::repository::snapshots::{Found as Listed, Trust};

/// What holds the files.
#[derive(Default)]
pub struct Found {
    /// The files, none of them twice.
    pub wanted: Wanted,
    /// Of the snapshots that hold them.
    pub manifests: HashMap<SnapshotId, Manifest>,
    /// Names that no backup holds whole.
    pub missing: Vec<String>,
    /// Backups that could not be looked at.
    pub warnings: Vec<String>,
}

/// Where files are looked for.
#[derive(Clone)]
pub struct Sources {
    pub(super) repository: Repository,
    pub(super) origin: Origin,
    pub(super) trust: Trust,
    pub(super) identities: Arc<Identities>,
    /// Backups of the filestore, in the order in which they are asked.
    pub(super) candidates: Vec<Manifest>,
}

/// The backups of the filestore of a tenant, under any of its names: first those taken after the
/// target, the nearest first, then those before it, the newest first. Files come and go, and the
/// nearest differ least. With `others`, those of all other tenants behind them: a tenant that the
/// base backup does not know was renamed, or copied from one of them.
pub async fn candidates(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    names: &BTreeSet<TenantName>,
    others: bool,
    near: Timestamp,
) -> Result<Vec<Manifest>> {
    let own = |manifest: &Manifest| manifest.tenant.as_ref().is_some_and(|tenant| names.contains(tenant));
    let mut found = Vec::new();
    for (_, listed) in repository.all_snapshots(origin, trust).await? {
        if let Ok(Listed::Snapshot(manifest)) = listed
            && manifest.filestore.is_some()
            && (others || own(&manifest))
        {
            found.push(*manifest);
        }
    }
    found.sort_by_key(|manifest| {
        let distance = manifest.point.as_microsecond() - near.as_microsecond();
        (!own(manifest), distance < 0, distance.abs())
    });
    Ok(found)
}

impl Sources {
    /// Looks for each of `names`, a list of `ir_attachment.store_fname`.
    ///
    /// # Errors
    /// Where it could not be looked; a damaged backup is passed over and told.
    pub async fn find(&self, names: &[String]) -> Result<Found> {
        let mut open: BTreeSet<String> = names.iter().map(|name| escape(name.as_bytes())).collect();
        let mut found = Found::default();
        let mut sets = Vec::new();
        for candidate in &self.candidates {
            if open.is_empty() {
                break;
            }
            match self.look(candidate, &mut found.manifests, &mut open).await {
                Ok(set) => sets.push(set),
                Err(e) if matches!(e.kind(), Kind::NotFound | Kind::Signature | Kind::Integrity) => {
                    found.warnings.push(format!("{} was passed over: {}", candidate.id, e.what()));
                }
                Err(e) => return Err(e),
            }
        }
        found.wanted = Wanted::union(&sets)?;
        found.missing = open.into_iter().collect();
        Ok(found)
    }

    /// What one backup holds of what is still open.
    async fn look(
        &self,
        candidate: &Manifest,
        manifests: &mut HashMap<SnapshotId, Manifest>,
        open: &mut BTreeSet<String>,
    ) -> Result<Wanted> {
        let facts = candidate.filestore_facts()?.clone();
        for id in facts.index_chain.iter().chain(&facts.sources) {
            if !manifests.contains_key(id) {
                let manifest = self.repository.manifest(id, &self.origin, &self.trust).await?;
                manifests.insert(id.clone(), manifest);
            }
        }
        let (repository, identities, known) =
            (self.repository.clone(), self.identities.clone(), manifests.clone());
        let mut wanted = tokio::task::spawn_blocking(move || {
            Wanted::filestore(&repository, &Handle::current(), &facts, &known, &identities)
        })
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading an index panicked").because(e)))?;
        // A file that was damaged before it was backed up may be whole elsewhere.
        wanted.keep(|path, file| !file.flawed && open.remove(path))?;
        Ok(wanted)
    }
}
