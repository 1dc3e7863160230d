//! Carries out a plan: announces by a tombstone what goes, and deletes what was announced a grace before.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, stream};

use super::phases::{Pending, Phases};
use super::plan::ExpiryPlan;
use super::stock::{Known, Stock, WalItem};
use crate::archive::manifest::{self, Origin};
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::archive::tombstone::Tombstone;
use crate::archive::wal::WalName;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::names::SnapshotId;
use crate::repository::erase::{Doomed, Erased};
use crate::repository::{Repository, layout};

/// Locks looked at at a time.
const LOOKED_AT_ONCE: usize = 16;
/// The kind in the name of a run.
const RUN: &str = "expiry";

/// What was announced before, and why some of it does not count.
///
/// # Errors
/// Those of the store.
pub async fn pending(
    repository: &Repository,
    origin: &Origin,
    trusted: &TrustedKeys,
) -> Result<(Vec<Pending>, Vec<Error>)> {
    let runs = repository.recent_runs().await?;
    let (tombstones, others) = repository.tombstones(runs, origin, trusted).await?;
    let pending = tombstones.into_iter().map(|one| Pending {
        run: one.tombstone.run,
        named: one.tombstone.named,
        stored_at: one.stored_at,
    });
    Ok((pending.collect(), others))
}

/// What was done.
#[derive(Debug)]
pub struct Applied {
    /// The run that announced something; `None` where nothing was to be announced.
    pub announced: Option<SnapshotId>,
    /// What was deleted.
    pub erased: Erased,
}

/// Announces first, then deletes. What cannot be deleted is said, and does not stop the rest.
///
/// # Errors
/// Those of the store, where the announcement cannot be stored: then nothing is deleted.
pub async fn apply(
    repository: &Repository,
    origin: &Origin,
    signing: &SigningKey,
    stock: &Stock,
    plan: &ExpiryPlan,
    phases: &Phases,
) -> Result<Applied> {
    let doomed = Doomed {
        wal: names(stock, &phases.wal),
        snapshots: phases.snapshots.iter().chain(&phases.batches).cloned().collect(),
        unfinished: phases.unfinished.clone(),
        garbage: phases.garbage.iter().flat_map(|one| one.keys.clone()).collect(),
        uploads: phases.uploads.clone(),
        withdrawn: phases.withdrawn.clone(),
    };
    let mut announced = None;
    if !phases.announced.is_empty() {
        let run = SnapshotId::new(plan.now, RUN);
        let (from, bytes) = (plan.counted_from, phases.announced_bytes);
        let named = phases.announced.clone();
        let tombstone = Tombstone::new(origin.clone(), run.clone(), from, named, bytes);
        repository.store_tombstone(&tombstone, signing).await?;
        announced = Some(run);
    }
    Ok(Applied { announced, erased: repository.erase(&doomed).await? })
}

/// Until when the space of what goes cannot become free, because its manifest is locked. What could not be
/// looked at is left out.
pub async fn locked(repository: &Repository, plan: &ExpiryPlan) -> HashMap<SnapshotId, Timestamp> {
    if repository.lock_mode().is_none() {
        return HashMap::new();
    }
    let ids: Vec<SnapshotId> = plan.snapshots.iter().chain(&plan.batches).map(|one| one.id.clone()).collect();
    let looked = stream::iter(ids).map(|id| async move {
        let key = layout::object(repository.instance(), &id, manifest::NAME);
        let lock = repository.store().version_lock(&key, None).await.ok()??;
        (lock.until > plan.now).then_some((id, lock.until))
    });
    looked.buffer_unordered(LOOKED_AT_ONCE).filter_map(std::future::ready).collect().await
}

/// The names of the objects of these ranges.
fn names(stock: &Stock, items: &[WalItem]) -> Vec<WalName> {
    let Known::All(wal) = &stock.wal else { return Vec::new() };
    let key = |item: &WalItem| (item.timeline, item.begin, item.end, item.stored_at);
    let wanted: HashSet<_> = items.iter().map(key).collect();
    let all = wal.items.iter().zip(&wal.names);
    all.filter(|(item, _)| wanted.contains(&key(item))).map(|(_, name)| *name).collect()
}
