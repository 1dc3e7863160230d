//! What a restore to the point needs of the repository: the base backup with its chain, the WAL from it to
//! the point, and the snapshots and batches that hold the files.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use crate::archive::base::BaseFacts;
use crate::archive::digest::Sha256;
use crate::archive::evidence::predicate::{BaseChain, SnapshotRef};
use crate::archive::manifest::{self, Object, Origin, SnapshotKind};
use crate::archive::wal::WalName;
use crate::archive::wal_name::NameTrust;
use crate::catalog::proven::{Believed, Proven, mark};
use crate::checkpoint::proof::Needed;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::needs::Graph;
use crate::inventory::plan::{PointAsked, PointPlan};
use crate::inventory::target::Target;
use crate::names::wal::{TimelineId, WalFile};
use crate::names::{Lsn, SnapshotId};
use crate::repository::snapshots::Trust;
use crate::repository::wal::coverage::assemble;
use crate::repository::{Repository, layout};
use crate::store::ObjectInfo;

/// Manifests read, and folders listed, at a time.
const AT_ONCE: usize = 16;
/// From so many batches of a day on, the day is listed: a request for every thousand objects, not for each
/// batch.
const LISTED_BY_DAY: usize = 8;
/// Objects in the folder of one snapshot: anybody who can write to the store can add some.
const IN_FOLDER_MAX: usize = 1_000_000;

/// Where it is read.
pub struct Place<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What its manifests must say.
    pub origin: &'a Origin,
    /// Whose manifests are believed.
    pub trust: &'a Trust,
    /// What was read before.
    pub proven: &'a Mutex<Proven>,
}

impl Place<'_> {
    /// What shows that a manifest was not written again, and that the same keys are trusted; `None` where
    /// the store does not say.
    fn mark(&self, id: &SnapshotId, listed: &[ObjectInfo]) -> Option<String> {
        let of = |name| {
            let key = layout::object(self.repository.instance(), id, name);
            mark(listed.iter().find(|info| info.key == key && info.odd.is_none())?)
        };
        let trusted = self.trust.trusted()?.digest();
        let origin = Sha256::of(format!("{:?}", self.origin).as_bytes());
        Some(format!("{} {} {trusted} {origin}", of(manifest::NAME)?, of(manifest::SIGNATURE_NAME)?))
    }
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
        add_snapshots(place, chain.iter(), needed).await?.into_iter().try_for_each(|(_, e)| Err(e))?;
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

/// Adds snapshots; returns those that could not be added, and why. A manifest that was read before, and not
/// written since, is not read again.
///
/// # Errors
/// Those of the catalog.
pub async fn add_snapshots<'a>(
    place: &Place<'_>,
    ids: impl Iterator<Item = &'a SnapshotId>,
    needed: &mut Needed,
) -> Result<Vec<(SnapshotId, Error)>> {
    let new: BTreeSet<&SnapshotId> = ids.filter(|id| !needed.manifests.contains_key(*id)).collect();
    let mut failed = Vec::new();
    let mut fail = |id: &SnapshotId, e: Error| {
        failed.push((id.clone(), e.context(format!("look at snapshot {id}"))));
    };
    // Listed before they are read: a mark is never newer than what was read.
    let mut listed = Vec::new();
    for (id, folder) in list(place.repository, &new).await {
        match folder {
            Ok(folder) => listed.push((id, place.mark(id, &folder), folder)),
            Err(e) => fail(id, e),
        }
    }
    let marks: Vec<(SnapshotId, String)> =
        listed.iter().filter_map(|(id, mark, _)| Some(((*id).clone(), mark.clone()?))).collect();
    let mut known = place.proven.lock().await.believed(&marks).await?;
    let looked = stream::iter(listed)
        .map(|(id, mark, folder)| {
            let known = known.remove(id);
            async move {
                let was_known = known.is_some();
                let believed = match known {
                    Some(believed) => Ok(believed),
                    None => read(place, id).await,
                };
                (id, mark.filter(|_| !was_known), folder, believed)
            }
        })
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut new = Vec::new();
    for (id, mark, folder, believed) in looked {
        match believed {
            Ok(believed) => {
                needed.add_snapshot(place.repository, id, &believed, folder);
                new.extend(mark.map(|mark| (id, mark, believed)));
            }
            Err(e) => fail(id, e),
        }
    }
    let new: Vec<_> = new.iter().map(|(id, mark, believed)| (*id, mark, believed)).collect();
    place.proven.lock().await.believe(&new).await?;
    Ok(failed)
}

/// The manifest of a snapshot, read and checked.
async fn read(place: &Place<'_>, id: &SnapshotId) -> Result<Believed> {
    let (manifest, manifest_sha256) =
        place.repository.digested_manifest(id, place.origin, place.trust).await?;
    // Where frames begin matters to a restore only.
    let bare = |object: Object| Object { frames: Vec::new(), ..object };
    Ok(Believed { manifest_sha256, objects: manifest.objects.into_iter().map(bare).collect() })
}

/// What is stored in the folder of each snapshot.
async fn list<'a>(
    repository: &Repository,
    ids: &BTreeSet<&'a SnapshotId>,
) -> Vec<(&'a SnapshotId, Result<Vec<ObjectInfo>>)> {
    let is_batch = |id: &SnapshotId| id.kind() == SnapshotKind::Arrivals.as_str();
    let mut of_day: HashMap<&str, usize> = HashMap::new();
    for id in ids.iter().filter(|id| is_batch(id)) {
        *of_day.entry(id.day()).or_default() += 1;
    }
    let mut folders: BTreeMap<String, Vec<&SnapshotId>> = BTreeMap::new();
    for id in ids {
        let by_day = is_batch(id) && of_day.get(id.day()).is_some_and(|batches| *batches >= LISTED_BY_DAY);
        let folder = match by_day {
            true => layout::arrivals_of_day(repository.instance(), id.day()),
            false => layout::snapshot(repository.instance(), id),
        };
        folders.entry(folder).or_default().push(id);
    }
    let mut lists = stream::iter(folders)
        .map(|(folder, ids)| async move {
            let found = list_folder(repository, &folder, &ids).await;
            (ids, found)
        })
        .buffer_unordered(AT_ONCE);
    let mut all = Vec::new();
    while let Some((ids, found)) = lists.next().await {
        match found {
            Ok(mut found) => {
                all.extend(ids.into_iter().map(|id| (id, Ok(found.remove(id).unwrap_or_default()))))
            }
            Err(e) => all.extend(ids.into_iter().map(|id| (id, Err(e.again())))),
        }
    }
    all
}

/// What a folder has of these snapshots.
async fn list_folder<'a>(
    repository: &Repository,
    folder: &str,
    ids: &[&'a SnapshotId],
) -> Result<HashMap<&'a SnapshotId, Vec<ObjectInfo>>> {
    let of = |id: &&'a SnapshotId| (format!("{}/", layout::snapshot(repository.instance(), id)), *id);
    let wanted: HashMap<String, &SnapshotId> = ids.iter().map(of).collect();
    let mut found: HashMap<&SnapshotId, Vec<ObjectInfo>> = HashMap::new();
    let mut listed = repository.store().list(folder);
    while let Some(info) = listed.try_next().await? {
        // In a folder of one day, all IDs have the same length.
        let Some(id) = wanted.keys().next().and_then(|any| wanted.get(info.key.get(..any.len())?)) else {
            continue;
        };
        let of_id = found.entry(id).or_default();
        if of_id.len() == IN_FOLDER_MAX {
            return Err(Error::new(
                Kind::Integrity,
                format!("{folder}/ has more than {IN_FOLDER_MAX} objects of snapshot {id}"),
            )
            .next("no backup writes so many: find out who did"));
        }
        of_id.push(info);
    }
    Ok(found)
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
