//! Makes the locks of what stays as long as it is promised, and lets the store's legal holds follow our
//! holds.

use std::collections::{HashMap, HashSet};

use super::promised::promised;
use super::rule::Rules;
use super::stock::{Known, Stock};
use crate::archive::manifest::Origin;
use crate::archive::signature::TrustedKeys;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::names::SnapshotId;
use crate::names::wal::SegmentBytes;
use crate::repository::Repository;
use crate::repository::announced::Announced;
use crate::repository::legal_holds::HoldWork;
use crate::repository::locks::{Fate, Locks, Part, Until};
use crate::repository::tombstones::Believed;

/// The times of a run.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Up to when the plan counted ages.
    pub counted_from: Timestamp,
    /// The store's time.
    pub now: Timestamp,
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
    Times { counted_from, now }: Times,
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
    let (holds, tombstones) = work(repository, (origin, announcers), stock).await;
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
                None if is_known || announced.names(now, &info.key, Some(info.modified)) => Fate::Goes,
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
) -> (HoldWork, Vec<Believed>) {
    if matches!(&stock.holds, Known::All(holds) if holds.is_empty()) {
        return (HoldWork::Nothing, Vec::new());
    }
    let tombstones = async {
        let runs = repository.expiry_runs().await?;
        repository.tombstones(runs, origin, announcers).await
    };
    match stock.is_held_known() {
        false => (HoldWork::Set, Vec::new()),
        true => match tombstones.await {
            Ok((believed, _)) => (HoldWork::SetAndLift, believed),
            Err(_) => (HoldWork::Set, Vec::new()),
        },
    }
}
