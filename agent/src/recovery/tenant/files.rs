//! The attachments of a recovered database: each file that its rows name, from whichever backup of
//! the filestore holds it, or from what the agent stored as it came. Names are digests of content, so
//! any file of that name serves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::runtime::Handle;

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::archive::path::escape;
use crate::archive::seal::Identities;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::needs::fetch;
use crate::names::{SnapshotId, TenantName};
use crate::recovery::wanted::Wanted;
use crate::repository::Repository;
use crate::repository::snapshots::{Found as Listed, Trust};

/// Backups that are asked before the batches.
const NEAREST: usize = 2;
/// Lists of batches that are fetched at a time.
const ARRIVALS_AT_ONCE: usize = 16;

/// What holds the files.
#[derive(Default)]
pub struct Found {
    /// The files, none of them twice.
    pub wanted: Wanted,
    /// Of the snapshots that hold them.
    pub manifests: HashMap<SnapshotId, Manifest>,
    /// Names that no backup holds whole.
    pub missing: Vec<String>,
    /// How many files only the backups of another tenant hold.
    others: BTreeMap<TenantName, usize>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Where files are looked for.
#[derive(Clone)]
pub struct Sources {
    pub(super) repository: Repository,
    pub(super) origin: Origin,
    pub(super) trust: Trust,
    pub(super) identities: Arc<Identities>,
    /// Names that the tenant is known to have had, and of those that it was copied from.
    pub(super) names: BTreeSet<TenantName>,
    /// Backups of the filestore, in the order in which they are asked.
    pub(super) candidates: Vec<Manifest>,
    /// Batches of new files, whosever they are, in the order in which they are asked.
    pub(super) arrivals: Vec<SnapshotId>,
}

/// The batches of new files, the nearest in time first: a file was stored seconds after it was written.
pub async fn arrivals(repository: &Repository, near: Timestamp) -> Result<Vec<SnapshotId>> {
    let mut ids = repository.arrival_ids().await?;
    let split = SnapshotId::new(near, SnapshotKind::Arrivals.as_str());
    let after = ids.split_off(ids.partition_point(|id| *id < split));
    // Both lists are sorted by time: of each, the next one, in turn.
    let (mut before, mut after) = (ids.into_iter().rev(), after.into_iter());
    let mut near_first = Vec::new();
    loop {
        let pair = [after.next(), before.next()];
        if pair.iter().all(Option::is_none) {
            return Ok(near_first);
        }
        near_first.extend(pair.into_iter().flatten());
    }
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

impl Found {
    /// Tells of a backup that cannot be used.
    fn pass_over(&mut self, id: &SnapshotId, e: Error) -> Result<()> {
        match e.kind() {
            Kind::NotFound | Kind::Signature | Kind::Integrity => {
                self.warnings.push(format!("{id} was passed over: {}", e.what()));
                Ok(())
            }
            _ => Err(e),
        }
    }
}

/// Whoever owns a tenant can name any file in its rows by its digest: where another tenant's backup gave one, a person
/// decides whether that was right.
fn others_text(others: &BTreeMap<TenantName, usize>) -> impl Iterator<Item = String> {
    others.iter().map(|(tenant, files)| {
        format!(
            "{files} of the files are only in backups of the tenant {tenant}: they belong here only if this tenant \
            was copied or renamed from {tenant}"
        )
    })
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
        // The two nearest backups have nearly all. What came and went between them is in the batches,
        // and a list of these costs as much as one of many that a backup is made of.
        let (nearest, others) = self.candidates.split_at(self.candidates.len().min(NEAREST));
        self.look_at_all(nearest, &mut found, &mut sets, &mut open).await?;
        self.look_at_arrivals(&mut found, &mut sets, &mut open).await?;
        self.look_at_all(others, &mut found, &mut sets, &mut open).await?;
        found.warnings.extend(others_text(&found.others));
        found.wanted = Wanted::union(&sets)?;
        found.missing = open.into_iter().collect();
        Ok(found)
    }

    async fn look_at_all(
        &self,
        candidates: &[Manifest],
        found: &mut Found,
        sets: &mut Vec<Wanted>,
        open: &mut BTreeSet<String>,
    ) -> Result<()> {
        for candidate in candidates {
            if open.is_empty() {
                break;
            }
            match self.look(candidate, &mut found.manifests, open).await {
                Ok(set) => {
                    let other = candidate.tenant.as_ref().filter(|tenant| !self.names.contains(tenant));
                    if let Some(other) = other.filter(|_| !set.files().is_empty()) {
                        *found.others.entry(other.clone()).or_default() += set.files().len();
                    }
                    sets.push(set);
                }
                Err(e) => found.pass_over(&candidate.id, e)?,
            }
        }
        Ok(())
    }

    /// Many small lists, several fetched at a time.
    async fn look_at_arrivals(
        &self,
        found: &mut Found,
        sets: &mut Vec<Wanted>,
        open: &mut BTreeSet<String>,
    ) -> Result<()> {
        if open.is_empty() {
            return Ok(());
        }
        let mut lists = stream::iter(&self.arrivals)
            .map(|id| async move { (id, self.arrival(id).await) })
            .buffered(ARRIVALS_AT_ONCE);
        while let Some((id, list)) = lists.next().await {
            match list {
                Ok((manifest, mut wanted)) => {
                    wanted.keep(|path, file| !file.flawed && open.remove(path))?;
                    if !wanted.files().is_empty() {
                        found.manifests.insert(id.clone(), manifest);
                        sets.push(wanted);
                    }
                }
                // No manifest: being stored, or given up.
                Err(e) if e.kind() == Kind::NotFound => {}
                Err(e) => found.pass_over(id, e)?,
            }
            if open.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn arrival(&self, id: &SnapshotId) -> Result<(Manifest, Wanted)> {
        let manifest = self.repository.manifest(id, &self.origin, &self.trust).await?;
        let (repository, identities, of) =
            (self.repository.clone(), self.identities.clone(), manifest.clone());
        let wanted = tokio::task::spawn_blocking(move || {
            Wanted::single(&repository, &Handle::current(), &of, &identities)
        })
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading a list panicked").because(e)))?;
        Ok((manifest, wanted))
    }

    /// What one backup holds of what is still open.
    async fn look(
        &self,
        candidate: &Manifest,
        manifests: &mut HashMap<SnapshotId, Manifest>,
        open: &mut BTreeSet<String>,
    ) -> Result<Wanted> {
        let facts = candidate.filestore_facts()?.clone();
        fetch(&self.repository, &self.origin, &self.trust, candidate, manifests).await?;
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
