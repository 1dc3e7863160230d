//! Taking an inventory: what the repository is asked for, and how much at once.
//!
//! Requests: two a snapshot that is asked for, a listing a timeline of WAL, a listing a day of arrivals.
//! Memory: some 2 KiB a snapshot, 200 bytes a WAL object while its timeline is read, 40 bytes after that.

use futures::{StreamExt, stream};

use crate::archive::manifest::{Origin, SnapshotKind};
use crate::error::Result;
use crate::inventory::reach::{StoredWal, Unknown};
use crate::inventory::{Inventory, Look, Part, Snapshot};
use crate::names::wal::{SegmentBytes, WalFile};
use crate::names::{Lsn, SnapshotId};
use crate::repository::snapshots::Trust;
use crate::repository::wal::coverage::{segment_bytes, windows};
use crate::repository::{Repository, layout};

/// Manifests fetched at a time: small ones, and what is not yet believed of them is bounded in all
/// ([`crate::repository::unproven`]).
const MANIFESTS_AT_ONCE: usize = 32;

/// Which snapshots are read.
#[derive(Clone, Debug, Default)]
pub enum Which {
    /// All but arrivals.
    #[default]
    All,
    /// Those whose names say that they are of this kind.
    Kind(SnapshotKind),
    /// These.
    Ids(Vec<SnapshotId>),
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Snapshots.
    pub snapshots: Which,
    /// The list of arrivals.
    pub arrivals: bool,
    /// WAL and timelines.
    pub wal: bool,
    /// The list of drills.
    pub drills: bool,
}

impl Inventory {
    /// Reads what is stored. Of what could not be looked at the inventory says so; an error only where not even
    /// the list of snapshots is known.
    ///
    /// # Errors
    /// Those of the store; `NotFound` before the instance's first backup.
    pub async fn take(repository: &Repository, trust: &Trust, wanted: &Wanted) -> Result<Inventory> {
        let origin = repository.origin().await?;
        let ids = match &wanted.snapshots {
            Which::Ids(ids) => ids.clone(),
            Which::All => repository.snapshot_ids().await?.0,
            Which::Kind(kind) => {
                let (ids, _) = repository.snapshot_ids().await?;
                ids.into_iter().filter(|id| id.kind() == kind.as_str()).collect()
            }
        };
        let mut snapshots: Vec<(SnapshotId, Look)> = stream::iter(ids)
            .map(|id| {
                let origin = &origin;
                async move {
                    let look = match repository.dated_manifest(&id, origin, trust).await {
                        Ok((manifest, stored_at)) => {
                            Look::Believed(Box::new(Snapshot::new(manifest, stored_at)))
                        }
                        Err(e) => Look::failed(e),
                    };
                    (id, look)
                }
            })
            .buffered(MANIFESTS_AT_ONCE)
            .collect()
            .await;
        snapshots.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut inventory = Inventory {
            instance: repository.instance().clone(),
            repository: repository.store().url().to_owned(),
            snapshots,
            arrivals: Part::NotAsked,
            wal: Part::NotAsked,
            drills: Part::NotAsked,
        };
        if wanted.arrivals {
            inventory.arrivals = repository.arrival_ids().await.into();
        }
        if wanted.wal {
            let known = inventory.believed().find_map(|s| Some(s.manifest.base.as_ref()?.wal_segment_bytes));
            let known = known.and_then(|bytes| SegmentBytes::try_from(bytes).ok());
            inventory.wal = take_wal(repository, &origin, trust, known).await.into();
        }
        if wanted.drills {
            let folder = layout::drills(repository.instance());
            inventory.drills = repository.store().list_dirs(&folder).await.into();
        }
        Ok(inventory)
    }
}

impl<T> From<Result<T>> for Part<T> {
    fn from(looked: Result<T>) -> Part<T> {
        match looked {
            Ok(found) => Part::Found(found),
            Err(e) => Part::CouldNotLook(e),
        }
    }
}

/// What is stored of every timeline. `segment_bytes` is what a base backup says; the listing shows it where
/// there is none.
///
/// # Errors
/// Those of the store.
pub async fn take_wal(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    known_segment: Option<SegmentBytes>,
) -> Result<StoredWal> {
    let mut wal = StoredWal::default();
    for timeline in repository.wal_timelines().await? {
        let list = repository.wal_of_timeline(timeline).await?;
        let names = || list.objects.iter().map(|object| &object.name);
        let size = known_segment.unwrap_or_else(|| segment_bytes(names()));
        wal.segment_bytes = Some(size);
        wal.windows.extend(windows(names(), size));
        for object in &list.objects {
            if let WalFile::Segment(segment) = object.name.file
                && let Some(begin) = segment.begin(size)
            {
                wal.stored.push((timeline, Lsn(begin.0 + u64::from(object.name.end)), object.stored_at));
            }
        }
    }
    let histories = repository.wal_histories().await?;
    let lineages = repository.lineages(&histories, origin, trust).await?;
    for object in &histories.objects {
        let WalFile::History(timeline) = object.name.file else { continue };
        wal.begun.push((timeline, object.stored_at));
        match wal.unknown.iter_mut().find(|unknown| unknown.timeline == timeline) {
            Some(unknown) => unknown.histories.push(object.name),
            None => wal.unknown.push(Unknown { timeline, histories: vec![object.name] }),
        }
    }
    wal.histories.extend(lineages.known);
    wal.contradicting = lineages.contradicting;
    // One history, and its ancestors in clear text: nothing is left to be read with an identity.
    let is_known = |unknown: &Unknown| {
        let first = unknown.histories.first().map(|name| name.plain);
        wal.histories.iter().any(|(known, _)| *known == unknown.timeline)
            && unknown.histories.iter().all(|name| Some(name.plain) == first)
    };
    let unknown: Vec<Unknown> = wal.unknown.iter().filter(|one| !is_known(one)).cloned().collect();
    wal.unknown = unknown;
    Ok(wal)
}
