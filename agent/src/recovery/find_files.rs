//! Searches for files of a filestore by their names: in every backup of the tenant's filestore, and in the
//! batches that the agent stored when files were new.
//!
//! A file's name is the SHA-1 of its content, so every intact copy is right. But a name proves nothing:
//! anybody who knows a digest can write a row that names it. So only files of this tenant count: backups
//! of its own filestore, under every name that it is known to have had, and the files of a batch that came
//! from its filestore. Batches of older Lifeboat versions do not say which tenant a file is from; files
//! that are taken from these are reported.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::archive::index::Entry;
use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::archive::seal::Identities;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::take::{self, Which};
use crate::inventory::{Inventory, Look};
use crate::names::{SnapshotId, TenantName, counted};
use crate::recovery::wanted::{Home, Wanted};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// How many backups are searched with their chains before the batches.
const NEAREST: usize = 2;
/// How many lists of batches are fetched at a time.
const BATCHES_AT_ONCE: usize = 16;

/// Where the files were found.
#[derive(Default)]
pub struct Found {
    /// The files, each once.
    pub wanted: Wanted,
    /// The manifests of the snapshots that hold them.
    pub manifests: HashMap<SnapshotId, Manifest>,
    /// Names, escaped, of files that are intact in no backup.
    pub missing: BTreeSet<String>,
    /// Warnings: backups that could not be used.
    pub warnings: Vec<String>,
}

/// Where each file, by escaped path, was found damaged or missing: not tried again.
pub type Tried = HashMap<String, HashSet<Home>>;

/// All places, in search order.
#[derive(Default)]
pub struct Places {
    /// Backups of the tenant's filestore: first those taken after the wanted moment, nearest first, then
    /// earlier ones, newest first, because the nearest backups differ least. They are as in the inventory:
    /// without their objects.
    pub backups: Vec<Manifest>,
    /// Batches of new files, nearest in time first: a file is stored seconds after it was written.
    pub batches: Vec<SnapshotId>,
    /// Snapshots that may be such backups but are not trusted.
    told: Vec<String>,
}

/// A search for files of one tenant. Cheap to clone. It lists the repository once, and only when something is
/// searched for.
#[derive(Clone)]
pub struct Search {
    repository: Repository,
    origin: Origin,
    trust: Trust,
    identities: Arc<Identities>,
    whose: BTreeSet<TenantName>,
    near: Timestamp,
    places: Arc<OnceCell<Places>>,
}

impl Search {
    /// A search for the files of `whose`, the names of one tenant, around a moment.
    pub fn new(
        repository: &Repository,
        origin: &Origin,
        trust: &Trust,
        identities: &Arc<Identities>,
        whose: BTreeSet<TenantName>,
        near: Timestamp,
    ) -> Search {
        let (repository, origin, trust) = (repository.clone(), origin.clone(), trust.clone());
        let (identities, places) = (identities.clone(), Arc::default());
        Search { repository, origin, trust, identities, whose, near, places }
    }

    /// The same, for a tenant that is known to have had these other names too.
    pub fn under(mut self, names: impl IntoIterator<Item = TenantName>) -> Search {
        self.whose.extend(names);
        self.places = Arc::default();
        self
    }

    /// The places to search.
    ///
    /// # Errors
    /// If the repository cannot be read; a manifest that is not trusted is no error.
    pub async fn places(&self) -> Result<&Places> {
        self.places.get_or_try_init(|| self.survey()).await
    }

    async fn survey(&self) -> Result<Places> {
        let mut places = Places::default();
        let wanted = take::Wanted { snapshots: Which::Kind(SnapshotKind::Filestore), ..Default::default() };
        for (id, look) in Inventory::take(&self.repository, &self.trust, &wanted).await?.snapshots {
            match look {
                Look::Believed(one) if one.manifest.filestore().is_some() && self.is_own(&one.manifest) => {
                    places.backups.push(one.manifest);
                }
                Look::Believed(_) | Look::Unfinished => {}
                Look::NotBelieved(e) | Look::NotRead(e) => places.told.push(skipped(&id, e)?),
            }
        }
        places.backups.sort_by_key(|manifest| {
            let distance = manifest.point.as_microsecond() - self.near.as_microsecond();
            (distance < 0, distance.abs())
        });
        places.batches = near_first(self.repository.arrival_ids().await?, self.near);
        Ok(places)
    }

    fn is_own(&self, manifest: &Manifest) -> bool {
        manifest.tenant.as_ref().is_some_and(|tenant| self.whose.contains(tenant))
    }

    /// Searches for each of `names` (escaped paths) in every place where it was not tried yet.
    ///
    /// # Errors
    /// If the repository cannot be read; a damaged backup is skipped and reported.
    pub async fn find(&self, names: BTreeSet<String>, tried: &Tried) -> Result<Found> {
        let mut open = Arc::new(names);
        let (mut found, mut sets) = (Found::default(), Vec::new());
        if open.is_empty() {
            return Ok(found);
        }
        let places = self.places().await?;
        found.warnings.clone_from(&places.told);
        // The chains of the two nearest backups hold almost everything. Files that existed only between
        // them are in the batches, and reading the list of a batch costs as much as reading one of a
        // backup's many lists.
        let nearest = places.backups.iter().take(NEAREST).filter_map(|backup| backup.filestore());
        let nearest: HashSet<&SnapshotId> = nearest.flat_map(|facts| &facts.index_chain).collect();
        let (first, others): (Vec<&Manifest>, Vec<&Manifest>) =
            places.backups.iter().partition(|backup| nearest.contains(&backup.id));
        for backup in first {
            self.look(backup, &mut found, &mut sets, (&mut open, tried)).await?;
        }
        self.look_at_batches(&places.batches, &mut found, &mut sets, (&mut open, tried)).await?;
        for backup in others {
            self.look(backup, &mut found, &mut sets, (&mut open, tried)).await?;
        }
        found.wanted = Wanted::union(&sets)?;
        found.missing = Arc::unwrap_or_clone(open);
        Ok(found)
    }

    /// The files that the index of one backup names, without its chain: so each index is read once and
    /// needs no other.
    async fn look(
        &self,
        backup: &Manifest,
        found: &mut Found,
        sets: &mut Vec<Wanted>,
        (open, tried): (&mut Arc<BTreeSet<String>>, &Tried),
    ) -> Result<()> {
        if open.is_empty() {
            return Ok(());
        }
        let backup = match self.repository.manifest(&backup.id, &self.origin, &self.trust).await {
            Ok(whole) => whole,
            Err(e) => {
                found.warnings.push(skipped(&backup.id, e)?);
                return Ok(());
            }
        };
        let wanted_now = open.clone();
        // A file that was already damaged when it was backed up may be intact in another backup.
        let read = self.read(&backup, move |entry| entry.flaw.is_none() && wanted_now.contains(&entry.path));
        match read.await {
            Ok(wanted) => self.take(&backup, wanted, found, sets, (open, tried)).await,
            Err(e) => {
                found.warnings.push(skipped(&backup.id, e)?);
                Ok(())
            }
        }
    }

    /// Many small lists; several are fetched at a time.
    async fn look_at_batches(
        &self,
        batches: &[SnapshotId],
        found: &mut Found,
        sets: &mut Vec<Wanted>,
        (open, tried): (&mut Arc<BTreeSet<String>>, &Tried),
    ) -> Result<()> {
        let mut of_nobody = 0;
        let mut lists = stream::iter(batches)
            .map(|id| async move { (id, self.batch(id).await) })
            .buffered(BATCHES_AT_ONCE);
        while !open.is_empty()
            && let Some((id, list)) = lists.next().await
        {
            match list {
                Ok((manifest, wanted, says_whose)) => {
                    let before = open.len();
                    self.take(&manifest, wanted, found, sets, (&mut *open, tried)).await?;
                    of_nobody += if says_whose { 0 } else { before - open.len() };
                }
                // No manifest: the batch is being stored, or was abandoned. lifeboat verify finds lost
                // manifests.
                Err(e) if e.kind() == Kind::NotFound => {}
                Err(e) => found.warnings.push(skipped(id, e)?),
            }
        }
        if of_nobody > 0 {
            let files = counted(of_nobody, "file");
            found.warnings.push(format!(
                "taken from batches of an older version of Lifeboat, which do not say to which tenant a file belongs: {files}"
            ));
        }
        Ok(())
    }

    /// The tenant's files of a batch, and whether the batch says which tenant each file is from.
    async fn batch(&self, id: &SnapshotId) -> Result<(Manifest, Wanted, bool)> {
        let manifest = self.repository.manifest(id, &self.origin, &self.trust).await?;
        let (whose, says_whose) = (self.whose.clone(), Arc::new(AtomicBool::new(true)));
        let said = says_whose.clone();
        let wanted = self.read(&manifest, move |entry| {
            if entry.tenants.is_empty() {
                said.store(false, Ordering::Relaxed);
                return entry.flaw.is_none();
            }
            entry.flaw.is_none() && entry.tenants.iter().any(|tenant| whose.contains(tenant))
        });
        let wanted = wanted.await?;
        Ok((manifest, wanted, says_whose.load(Ordering::Relaxed)))
    }

    async fn read(
        &self,
        manifest: &Manifest,
        take: impl Fn(&Entry) -> bool + Send + 'static,
    ) -> Result<Wanted> {
        let (repository, identities, of) =
            (self.repository.clone(), self.identities.clone(), manifest.clone());
        tokio::task::spawn_blocking(move || {
            Wanted::of_index(&repository, &Handle::current(), &of, &identities, take)
        })
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading an index panicked").because(e)))
    }

    /// Takes the files that are still missing and are in packs of the tenant's own, existing, trusted
    /// snapshots.
    async fn take(
        &self,
        of: &Manifest,
        mut wanted: Wanted,
        found: &mut Found,
        sets: &mut Vec<Wanted>,
        (open, tried): (&mut Arc<BTreeSet<String>>, &Tried),
    ) -> Result<()> {
        let untried = |path: &str, homes: &[Home]| {
            !homes.is_empty()
                && open.contains(path)
                && tried.get(path).is_none_or(|tried| homes.iter().all(|home| !tried.contains(home)))
        };
        wanted.keep(untried)?;
        let needed: BTreeSet<u32> = wanted.packs().into_iter().map(|(snapshot, _)| snapshot).collect();
        for id in needed.into_iter().filter_map(|place| wanted.snapshots.get(place as usize)) {
            if *id == of.id {
                found.manifests.insert(id.clone(), of.clone());
            } else if !found.manifests.contains_key(id) {
                match self.repository.manifest(id, &self.origin, &self.trust).await {
                    Ok(manifest) if self.is_own(&manifest) => {
                        found.manifests.insert(id.clone(), manifest);
                    }
                    Ok(_) => {}
                    Err(e) => found.warnings.push(skipped(id, e)?),
                }
            }
        }
        let open = Arc::make_mut(open);
        wanted.keep(|path, homes| {
            homes.iter().all(|(id, _)| found.manifests.contains_key(id)) && open.remove(path)
        })?;
        if !wanted.files().is_empty() {
            sets.push(wanted);
        }
        Ok(())
    }
}

/// The warning about a backup that cannot be used: it is damaged, or encrypted for others only, as older ones
/// are for a key that came later.
///
/// # Errors
/// The error itself, if it means anything else.
pub fn skipped(id: &SnapshotId, e: Error) -> Result<String> {
    match e.is_damage() || e.kind() == Kind::Identity {
        true => Ok(format!("{id} was skipped: {}", e.line())),
        false => Err(e),
    }
}

fn near_first(mut ids: Vec<SnapshotId>, near: Timestamp) -> Vec<SnapshotId> {
    let split = SnapshotId::new(near, SnapshotKind::Arrivals.as_str());
    let after = ids.split_off(ids.partition_point(|id| *id < split));
    // Both lists are sorted by time: take the next one of each in turn.
    let (mut before, mut after) = (ids.into_iter().rev(), after.into_iter());
    let mut near_first = Vec::new();
    loop {
        let pair = [after.next(), before.next()];
        if pair.iter().all(Option::is_none) {
            return near_first;
        }
        near_first.extend(pair.into_iter().flatten());
    }
}
