//! Makes the locks of what stays as long as it is promised, and lets the store's legal holds follow our
//! holds.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;

use super::promised::promised;
use super::rule::Rules;
use super::stock::{Known, Stock};
use crate::archive::manifest::Origin;
use crate::archive::signature::TrustedKeys;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::names::SnapshotId;
use crate::names::wal::SegmentBytes;
use crate::repository::announced::Announced;
use crate::repository::legal_holds::HoldWork;
use crate::repository::locks::{Fate, Locks, Part, Until};
use crate::repository::tampered::Deed;
use crate::repository::tombstones::Believed;
use crate::repository::{Repository, layout};

/// The times of a run.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Up to when the plan counted ages.
    pub counted_from: Timestamp,
    /// The store's time.
    pub now: Timestamp,
    /// Whether what is stored was looked at long ago: holds may have been added since.
    pub is_stale: bool,
}

/// Locks what stays; see [`Repository::extend_locks`]. Where there is or was a hold, sets the legal hold of
/// what is held, and lifts it from what is not: also from what expire has deleted, as a tombstone by one of
/// `announcers` says. `None` where nothing is locked here.
///
/// # Errors
/// Those of the store where the versions cannot be listed.
pub async fn extend_locks(
    repository: &Repository,
    (origin, announcers): (&Origin, &TrustedKeys),
    (stock, rules): (&Stock, &Rules),
    Times { counted_from, now, is_stale }: Times,
) -> Result<Option<Locks>> {
    if repository.lock_mode().is_none() {
        return Ok(None);
    }
    let promised = promised(stock, rules, counted_from, now);
    let by_key = |name| repository.wal_key(name);
    let kept_wal: HashMap<String, Until> =
        promised.wal.iter().map(|(name, until)| (by_key(name), *until)).collect();
    let (known_wal, segment) = match &stock.wal {
        Known::All(wal) => (wal.names.iter().map(by_key).collect(), wal.segment),
        Known::Unknown(_) => (HashSet::new(), SegmentBytes::USUAL),
    };
    let snapshots = stock.items.iter().map(|item| &item.id);
    let known: HashSet<&SnapshotId> =
        snapshots.chain(stock.batches().iter().map(|batch| &batch.id)).collect();
    let (mut holds, tombstones) = work(repository, (origin, announcers), stock, promised.is_any_held).await;
    if is_stale && holds == HoldWork::SetAndLift {
        holds = HoldWork::Set("this run took long, and holds may have been added since it looked".to_owned());
    }
    // Nothing can be held.
    let lifts_all = holds == HoldWork::SetAndLift && !promised.is_any_held;
    let announced = Announced::of(repository.instance(), &tombstones, segment);
    repository
        .extend_locks(now, holds, |part, version| {
            let (until, is_known) = match part {
                Part::Snapshot(id) => (promised.snapshots.get(id), known.contains(id)),
                Part::Wal(key) => (kept_wal.get(key), known_wal.contains(key)),
                Part::Record => (Some(&promised.records), true),
            };
            let info = &version.info;
            match until {
                Some(until) => Fate::Stays(*until),
                None if is_known || lifts_all || announced.names(now, &info.key, Some(info.modified)) => {
                    Fate::Goes
                }
                None => Fate::Unknown,
            }
        })
        .await
}

/// What is done about legal holds, and the tombstones that show what expire has deleted.
async fn work(
    repository: &Repository,
    (origin, announcers): (&Origin, &TrustedKeys),
    stock: &Stock,
    is_any_held: bool,
) -> (HoldWork, Vec<Believed>) {
    let set = |why: String| (HoldWork::Set(why), Vec::new());
    match &stock.holds {
        Known::All(holds) if holds.is_empty() => return (HoldWork::Nothing, Vec::new()),
        Known::All(_) if !is_any_held => {}
        Known::All(_) if stock.is_held_known() => {}
        _ => return set("not everything that a hold may keep is known; the plan says why".to_owned()),
    }
    let looked = async {
        if let Some(folder) = hidden(repository).await? {
            return Ok(Err(format!("somebody deleted what is in {folder}, which may hold something")));
        }
        let runs = repository.expiry_runs().await?;
        Ok(Ok(repository.tombstones(runs, origin, announcers).await?.0))
    };
    match looked.await {
        Ok(Ok(believed)) => (HoldWork::SetAndLift, believed),
        Ok(Err(why)) => set(why),
        Err(e) => set(Error::line(&e)),
    }
}

/// A hold, or the checkpoint of a release, that somebody hid: one that has a legal hold, so that it was
/// believed once. What a stranger stored, and a person removed, has none.
async fn hidden(repository: &Repository) -> Result<Option<String>> {
    let prefix = layout::instance_prefix(repository.instance());
    for below in [layout::holds(repository.instance()), layout::releases(repository.instance())] {
        let found = repository.tampered(&below, &[], SegmentBytes::USUAL).await?;
        let deleted = found.folders.into_keys().filter(|(_, deed)| *deed == Deed::Deleted);
        for (folder, _) in deleted {
            let mut versions = repository.store().versions(&format!("{prefix}/{folder}"));
            while let Some(version) = versions.try_next().await? {
                if !version.is_marker && repository.store().legal_hold(&version.info.key, &version.id).await?
                {
                    return Ok(Some(folder));
                }
            }
        }
    }
    Ok(None)
}
