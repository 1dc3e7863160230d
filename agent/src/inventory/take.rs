//! Taking an inventory: what the repository is asked for, and how much at once.
//!
//! Requests: two a snapshot that is asked for and not known yet, and a listing of all WAL.
//! Memory: some 2 KiB a snapshot, 300 bytes a WAL object while they are listed, 40 bytes after that.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::{StreamExt, future, stream};

use crate::archive::manifest::{Origin, SnapshotKind};
use crate::archive::wal_name::NameTrust;
use crate::config::Config;
use crate::error::Result;
use crate::inventory::needs::Graph;
use crate::inventory::pick::Pick;
use crate::inventory::reach::{StoredWal, Unknown};
use crate::inventory::read_before::ReadBefore;
use crate::inventory::{Inventory, Look, Part, Snapshot};
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};
use crate::names::{Lsn, SnapshotId};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::coverage::{segment_bytes, windows};
use crate::repository::wal::{Lineages, WalList, WalObject};

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

impl Which {
    /// The base backups, or the one that is named.
    pub fn bases(named: Option<&SnapshotId>) -> Which {
        named.map_or(Which::Kind(SnapshotKind::Base), |id| Which::Ids(vec![id.clone()]))
    }

    /// What must be read to choose one of this kind.
    pub fn picked(kind: SnapshotKind, pick: &Pick) -> Which {
        match pick {
            Pick::Snapshot(id) => Which::Ids(vec![id.clone()]),
            Pick::Latest | Pick::Release(_) => Which::Kind(kind),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Snapshots.
    pub snapshots: Which,
    /// WAL and timelines.
    pub wal: bool,
}

impl Inventory {
    /// Reads what is stored. The inventory marks what could not be read; it is an error only if not even the
    /// snapshots can be listed.
    ///
    /// # Errors
    /// Those of the store; `NotFound` before the instance's first backup.
    pub async fn take(repository: &Repository, trust: &Trust, wanted: &Wanted) -> Result<Inventory> {
        Inventory::taken(repository, trust, wanted, None).await
    }

    /// The same for what is only shown or planned: what this host read before is not read again
    /// ([`ReadBefore`]).
    ///
    /// # Errors
    /// As [`Inventory::take`].
    pub async fn take_to_show(
        config: &Config,
        repository: &Repository,
        trust: &Trust,
        wanted: &Wanted,
    ) -> Result<Inventory> {
        let known = ReadBefore::open(config, repository, trust).await?.map(Arc::new);
        Inventory::taken(repository, trust, wanted, known.as_ref()).await
    }

    /// Takes it, beside what is `known`; and adds what is new to that.
    ///
    /// # Errors
    /// As [`Inventory::take`].
    pub async fn taken(
        repository: &Repository,
        trust: &Trust,
        wanted: &Wanted,
        known: Option<&Arc<ReadBefore>>,
    ) -> Result<Inventory> {
        // Of a part, nothing is kept: it would take the place of the whole.
        let known = known.filter(|_| matches!(wanted.snapshots, Which::All));
        let origin = repository.origin().await?;
        let names = known.map(|known| known.names());
        let names = NameTrust::new(&origin, trust.trusted()).with_seen(names);
        let listed_wal = async {
            if !wanted.wal {
                return None;
            }
            Some(list_wal(repository, &origin, trust, &names).await)
        };
        let looked = looked(repository, &origin, trust, &wanted.snapshots, known);
        let (looked, wal) = future::join(looked, listed_wal).await;
        let (snapshots, read) = looked?;
        let mut inventory = Inventory {
            instance: repository.instance().clone(),
            repository: repository.store().url().to_owned(),
            snapshots,
            wal: Part::NotAsked,
        };
        if let (Some(known), Some(_)) = (known, &wal) {
            known.keep_names().await;
        }
        if let Some(wal) = wal {
            let known = inventory.believed().find_map(|s| Some(s.manifest.base()?.wal_segment_bytes));
            let known = known.and_then(|bytes| SegmentBytes::try_from(bytes).ok());
            inventory.wal = wal.map(|(list, lineages)| stored_wal(list, lineages, known)).into();
        }
        match known {
            Some(known) => Ok(known.keep(inventory, read).await),
            None => Ok(inventory),
        }
    }

    /// Reads the snapshots that this one needs for a whole restore, if they were not read yet.
    ///
    /// # Errors
    /// Those of the store, if the description of the repository cannot be read.
    pub async fn read_needs(
        &mut self,
        repository: &Repository,
        trust: &Trust,
        of: &SnapshotId,
    ) -> Result<()> {
        let origin = repository.origin().await?;
        // A dump names its filestore; that names the rest.
        for _ in 0..2 {
            let needs = Graph::of(self.believed().map(|one| &one.manifest)).needs(of);
            let is_new =
                |id: &SnapshotId| self.snapshots.binary_search_by(|(known, _)| known.cmp(id)).is_err();
            let ids = needs.into_iter().filter(is_new).collect();
            self.add(looks(repository, &origin, trust, ids).await);
        }
        Ok(())
    }

    /// Reads what believed snapshots need and the listing did not show: a listing may leave something out,
    /// and only the store's answer for the manifest says that it is gone.
    ///
    /// # Errors
    /// Those of the store, if the description of the repository cannot be read.
    pub async fn read_unlisted(&mut self, repository: &Repository, trust: &Trust) -> Result<()> {
        let origin = repository.origin().await?;
        for _ in 0..2 {
            let graph = Graph::of(self.believed().map(|one| &one.manifest));
            let lacking = self.believed().flat_map(|one| graph.lacks(&one.manifest.id));
            let listed =
                |id: &SnapshotId| self.snapshots.binary_search_by(|(known, _)| known.cmp(id)).is_ok();
            let ids: BTreeSet<SnapshotId> = lacking.filter(|id| !listed(id)).collect();
            if ids.is_empty() {
                break;
            }
            let mut found = looks(repository, &origin, trust, ids.into_iter().collect()).await;
            found.retain(|(_, look)| !matches!(look, Look::Unfinished));
            self.add(found);
        }
        Ok(())
    }

    fn add(&mut self, more: Vec<(SnapshotId, Look)>) {
        self.snapshots.extend(more);
        self.snapshots.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
}

/// The snapshots that are asked for, by ID; and how many of them were read from the store.
async fn looked(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    which: &Which,
    known: Option<&Arc<ReadBefore>>,
) -> Result<(Vec<(SnapshotId, Look)>, usize)> {
    let mut ids = match (which, known) {
        (Which::Ids(ids), _) => ids.clone(),
        (_, Some(known)) => known.list(repository).await?,
        (_, None) => repository.snapshot_ids().await?.0,
    };
    if let Which::Kind(kind) = which {
        ids.retain(|id| id.kind() == kind.as_str());
    }
    let (mut snapshots, mut unknown) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        match known.and_then(|known| known.take(&id)) {
            Some(snapshot) => snapshots.push((id, Look::Believed(Box::new(snapshot)))),
            None => unknown.push(id),
        }
    }
    let read = looks(repository, origin, trust, unknown).await;
    let believed = read.iter().filter(|(_, look)| look.believed().is_some()).count();
    snapshots.extend(read);
    snapshots.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok((snapshots, believed))
}

/// What becomes of looking at each.
async fn looks(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    ids: Vec<SnapshotId>,
) -> Vec<(SnapshotId, Look)> {
    let mut shared = HashSet::new();
    let look = |id: SnapshotId| async move {
        let look = match repository.dated_manifest(&id, origin, trust).await {
            Ok((manifest, stored_at)) => Look::Believed(Box::new(Snapshot::new(manifest, stored_at))),
            Err(e) => Look::failed(e),
        };
        (id, look)
    };
    let share = |(id, mut look): (SnapshotId, Look)| {
        if let Look::Believed(snapshot) = &mut look {
            snapshot.manifest.share_ids(&mut shared);
        }
        (id, look)
    };
    stream::iter(ids).map(look).buffered(MANIFESTS_AT_ONCE).map(share).collect().await
}

impl<T> From<Result<T>> for Part<T> {
    fn from(looked: Result<T>) -> Part<T> {
        match looked {
            Ok(found) => Part::Found(found),
            Err(e) => Part::CouldNotLook(e),
        }
    }
}

/// The WAL that counts ([`Repository::wal`]), and the ancestors of its timelines.
///
/// # Errors
/// Those of the store.
async fn list_wal(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    names: &NameTrust,
) -> Result<(WalList, Lineages)> {
    let list = repository.wal(names, false).await?;
    let lineages = repository.lineages(&list.lineages, origin, trust).await?;
    Ok((list, lineages))
}

/// What a listing says of every timeline. `known_segment` is the size that a base backup states; without one
/// the listing shows it. Where a history with a signed name is stored, one without does not count.
pub fn stored_wal(list: WalList, lineages: Lineages, known_segment: Option<SegmentBytes>) -> StoredWal {
    let names = || list.objects.iter().map(|object| &object.name);
    let size = known_segment.unwrap_or_else(|| segment_bytes(names()));
    let mut wal = StoredWal {
        windows: windows(names(), size),
        segment_bytes: (!list.objects.is_empty()).then_some(size),
        contradicting: lineages.contradicting,
        foreign: list.foreign,
        ..StoredWal::default()
    };
    wal.histories.extend(lineages.known);
    let signed = list.objects.iter().filter(|object| object.name.signature.is_some());
    wal.signed_since = signed.map(|object| object.stored_at).min();
    let at = |object: &WalObject| match wal.signed_since {
        Some(since) if object.name.signature.is_none() => object.stored_at.min(since),
        _ => object.stored_at,
    };
    let mut histories: BTreeMap<TimelineId, Vec<WalObject>> = BTreeMap::new();
    for object in &list.objects {
        match object.name.file {
            WalFile::Segment(segment) => {
                if let Some(begin) = segment.begin(size) {
                    let end = Lsn(begin.0 + u64::from(object.name.end));
                    wal.stored.push((segment.timeline, end, at(object)));
                }
                wal.signed.extend(object.name.signature.map(|_| segment.timeline));
            }
            WalFile::History(timeline) => histories.entry(timeline).or_default().push(*object),
            WalFile::Partial(_) | WalFile::Backup(..) => {}
        }
    }
    for (timeline, mut objects) in histories {
        if objects.iter().any(|object| object.name.signature.is_some()) {
            objects.retain(|object| object.name.signature.is_some());
        }
        wal.begun.extend(objects.iter().map(|object| (timeline, at(object))));
        // One history, and its ancestors in clear text: nothing is left to be read with an identity.
        let is_known = wal.histories.iter().any(|(known, _)| *known == timeline);
        let is_one = objects.iter().all(|object| object.name.plain == objects[0].name.plain);
        if !is_known || !is_one {
            let histories = objects.iter().map(|object| object.name).collect();
            wal.unknown.push(Unknown { timeline, histories });
        }
    }
    wal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::inventory::made_up::at;
    use crate::repository::wal::WalObject;

    fn object(file: &str, plain: char, is_signed: bool, stored_at: Timestamp) -> WalObject {
        let digest = |c: char| String::from_iter([c; 32]);
        let signature = if is_signed { format!("-{}", "A".repeat(86)) } else { String::new() };
        let name = format!("{file}/00000000-01000000-{}-{}{signature}.zst.age", digest(plain), digest('0'));
        WalObject { name: name.parse().unwrap(), bytes: 300, stored_at }
    }

    #[test]
    fn what_is_not_signed_decides_no_history_no_newest_timeline_and_no_time() {
        let list = WalList {
            objects: vec![
                object("000000010000000000000001", 'a', false, at(30)),
                object("000000010000000000000002", 'a', true, at(20)),
                object("000000090000000000000001", 'a', false, at(10)),
                object("00000002.history", 'a', false, at(5)),
                object("00000002.history", 'b', true, at(21)),
                object("00000003.history", 'a', false, at(6)),
            ],
            ..WalList::default()
        };
        let wal = stored_wal(list.clone(), Lineages::default(), None);
        assert_eq!(wal.newest(), Some(TimelineId(1)));
        assert_eq!(wal.stored.iter().map(|(.., at)| *at).collect::<Vec<_>>(), [at(20), at(20), at(10)]);
        assert_eq!(wal.begun, [(TimelineId(2), at(21)), (TimelineId(3), at(6))]);
        let unknown: Vec<_> = wal.unknown.iter().map(|one| (one.timeline.0, one.histories.len())).collect();
        assert_eq!(unknown, [(2, 1), (3, 1)]);
        // before names were signed, all of it counts as it is told
        let mut old = list;
        old.objects.retain(|object| object.name.signature.is_none());
        let wal = stored_wal(old, Lineages::default(), None);
        assert_eq!(wal.newest(), Some(TimelineId(9)));
        assert_eq!(wal.stored[0].2, at(30));
    }
}
