//! What a restore to the point needs of the repository: the base backup with its chain, the WAL from it to
//! the point, and the snapshots and batches that hold the files.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};

use crate::archive::base::BaseFacts;
use crate::archive::evidence::predicate::{BaseChain, SnapshotRef};
use crate::archive::manifest::Origin;
use crate::archive::wal::WalName;
use crate::archive::wal_name::NameTrust;
use crate::checkpoint::proof::Needed;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::needs::Graph;
use crate::inventory::plan::{PointAsked, PointPlan};
use crate::inventory::target::Target;
use crate::names::wal::{TimelineId, WalFile};
use crate::names::{Lsn, SnapshotId};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::coverage::assemble;

/// Manifests read at a time.
const AT_ONCE: usize = 16;

/// Where it is read.
pub struct Place<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What its manifests must say.
    pub origin: &'a Origin,
    /// Whose manifests are believed.
    pub trust: &'a Trust,
}

/// The way to a point.
pub struct Way {
    /// When the base backup was consistent.
    pub point: Timestamp,
    /// Where it was consistent.
    pub lsn: Lsn,
    wal_bytes: u64,
    stored_bytes: u64,
    chain: Vec<SnapshotId>,
}

impl Way {
    /// Adds all that leads to `lsn` on `timeline` to what is needed; without a point, to the end of the WAL.
    ///
    /// # Errors
    /// `Refused` or `NotFound` where nothing that is stored reaches it; those of the store.
    pub async fn add(
        place: &Place<'_>,
        inventory: &Inventory,
        point: Option<(TimelineId, Lsn)>,
        now: Timestamp,
        needed: &mut Needed,
    ) -> Result<Way> {
        // The last byte of the record must be stored; nothing after it.
        let asked = match point {
            Some((timeline, lsn)) => PointAsked {
                timeline: Some(timeline),
                ..PointAsked::instance(Target::Lsn(Lsn(lsn.0.saturating_sub(1))))
            },
            None => PointAsked::instance(Target::Latest),
        };
        let plan = PointPlan::new(inventory, &asked, now)?;
        let lsn = point.map(|(_, lsn)| lsn).or(plan.wal_end).unwrap_or(plan.base_lsn);
        let base = inventory.named(&plan.snapshot)?;
        let facts = base.manifest.base_facts()?;
        let chain: Vec<SnapshotId> = Graph::of([&base.manifest]).needs(&plan.snapshot).into_iter().collect();
        add_snapshots(place, chain.iter(), needed).await.into_iter().try_for_each(|(_, e)| Err(e))?;
        let path = plan.reach.as_ref().map_or(Vec::new(), |reach| reach.path.clone());
        add_wal(place, facts, &path, lsn, needed).await?;
        Ok(Way {
            point: base.time(),
            lsn: plan.base_lsn,
            wal_bytes: lsn.0.saturating_sub(facts.start_lsn.0),
            stored_bytes: plan.stored_bytes,
            chain: facts.chain.clone(),
        })
    }

    /// What the evidence says of it.
    pub fn chain(&self, needed: &Needed) -> BaseChain {
        BaseChain {
            point: self.point,
            lsn: self.lsn,
            chain: refs(&self.chain, needed),
            wal_bytes: self.wal_bytes,
            stored_bytes: self.stored_bytes,
        }
    }
}

/// Snapshots with the digests of their manifests, in this order; those that were not added are left out.
pub fn refs<'a>(ids: impl IntoIterator<Item = &'a SnapshotId>, needed: &Needed) -> Vec<SnapshotRef> {
    let of = |id: &SnapshotId| {
        let manifest_sha256 = *needed.manifests.get(id)?;
        Some(SnapshotRef { id: id.clone(), manifest_sha256 })
    };
    ids.into_iter().filter_map(of).collect()
}

/// Adds snapshots; returns those that could not be added, and why.
pub async fn add_snapshots<'a>(
    place: &Place<'_>,
    ids: impl Iterator<Item = &'a SnapshotId>,
    needed: &mut Needed,
) -> Vec<(SnapshotId, Error)> {
    let new: Vec<&SnapshotId> = ids.filter(|id| !needed.manifests.contains_key(*id)).collect();
    let read = stream::iter(new)
        .map(|id| async move {
            let mut one = Needed::default();
            let added = one.add_snapshot(place.repository, place.origin, place.trust, id).await;
            (id, added.map(|()| one))
        })
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut failed = Vec::new();
    for (id, added) in read {
        match added {
            Ok(one) => needed.merge(one),
            Err(e) => failed.push((id.clone(), e.context(format!("look at snapshot {id}")))),
        }
    }
    failed
}

/// Adds the WAL objects that replay reads: from the end of the base backup to the point, and the histories of
/// the timelines between.
async fn add_wal(
    place: &Place<'_>,
    facts: &BaseFacts,
    path: &[(TimelineId, Lsn)],
    lsn: Lsn,
    needed: &mut Needed,
) -> Result<()> {
    let trust = NameTrust::new(place.origin, place.trust.trusted());
    let list = place.repository.wal(&trust, false).await?;
    let size = crate::names::wal::SegmentBytes::try_from(facts.wal_segment_bytes)
        .map_err(|e| Error::new(Kind::Integrity, "the base backup names no size of segments").because(e))?;
    let from = Lsn(facts.stop_lsn.0 / size.get() * size.get());
    let followed: BTreeMap<TimelineId, Lsn> = path.iter().copied().collect();
    let mut files: BTreeMap<WalFile, Vec<WalName>> = BTreeMap::new();
    for object in &list.objects {
        let file = object.name.file;
        let Some(until) = followed.get(&file.timeline()) else { continue };
        let wanted = match file {
            WalFile::Segment(segment) => {
                segment.begin(size).is_some_and(|begin| begin >= from && begin < lsn && begin < *until)
            }
            WalFile::History(_) => true,
            WalFile::Partial(_) | WalFile::Backup(..) => false,
        };
        if wanted {
            files.entry(file).or_default().push(object.name);
        }
    }
    let mut chosen: BTreeSet<WalName> = BTreeSet::new();
    for (file, names) in files {
        match file {
            // Objects that hold nothing before the point are not needed for it.
            WalFile::Segment(segment) => {
                let begin = segment.begin(size).unwrap_or(Lsn(0));
                let before = |name: &WalName| begin.0 + u64::from(name.begin) < lsn.0;
                chosen.extend(assemble(&names).into_iter().filter(before));
            }
            _ => chosen.extend(names),
        }
    }
    needed.add_wal(place.repository, chosen);
    Ok(())
}
