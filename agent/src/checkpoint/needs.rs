//! What a restore to the point needs of the repository: the base backup with its chain, the WAL from it to
//! the point, and the snapshots and batches that hold the files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::{StreamExt, stream};
use tokio::sync::Mutex;

use crate::archive::base::BaseFacts;
use crate::archive::digest::Sha256;
use crate::archive::evidence::predicate::{BaseChain, SnapshotRef};
use crate::archive::manifest::{self, Object, Origin};
use crate::archive::wal::WalName;
use crate::archive::wal_name::NameTrust;
use crate::catalog::proven::{Believed, Proven, mark};
use crate::checkpoint::folders::{self, Listed};
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
    /// What was read before.
    pub proven: &'a Mutex<Proven>,
    /// Another one means that other manifests are believed.
    believes: String,
}

impl<'a> Place<'a> {
    /// A place.
    pub fn new(
        repository: &'a Repository,
        origin: &'a Origin,
        trust: &'a Trust,
        proven: &'a Mutex<Proven>,
    ) -> Place<'a> {
        let trusted = trust.trusted().map_or("anyone".to_owned(), |keys| keys.digest().to_string());
        let believes = format!("{trusted} {}", Sha256::of(format!("{origin:?}").as_bytes()));
        Place { repository, origin, trust, proven, believes }
    }

    /// What shows that a manifest was not written again, and that it would be believed again; `None` where
    /// the store does not say.
    fn mark(&self, id: &SnapshotId, listed: &Listed) -> Option<String> {
        let [manifest, signature] = self.keys(id).map(|key| {
            let info = listed.objects.get(&key).filter(|info| info.odd.is_none())?;
            mark(info)
        });
        Some(format!("{} {} {}", manifest?, signature?, self.believes))
    }

    /// The keys of a manifest and of its signature.
    fn keys(&self, id: &SnapshotId) -> [String; 2] {
        [manifest::NAME, manifest::SIGNATURE_NAME]
            .map(|name| layout::object(self.repository.instance(), id, name))
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
    // Listed before they are read: a mark is never newer than what was read.
    let keys: HashSet<String> = new.iter().flat_map(|id| place.keys(id)).collect();
    let folders = folders::of(place.repository, new.iter().copied());
    let listed = folders::list(place.repository, folders.iter(), |key| keys.contains(key)).await;
    let marked = |id: &&SnapshotId| Some(((*id).clone(), place.mark(id, &listed)?));
    let marks: HashMap<SnapshotId, String> = new.iter().filter_map(marked).collect();
    let mut known = place.proven.lock().await.believed(&marks).await?;
    let looked = stream::iter(new)
        .map(|id| {
            let (known, failure) = (known.remove(id), listed.failure(&place.keys(id)[0]));
            async move {
                let believed = match (known, failure) {
                    (Some(known), _) => return (id, Ok(known), false),
                    (None, Some(e)) => Err(e.again()),
                    (None, None) => read(place, id).await,
                };
                (id, believed, true)
            }
        })
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let (mut failed, mut read) = (Vec::new(), Vec::new());
    for (id, believed, is_new) in looked {
        match believed {
            Ok(believed) => {
                needed.add_snapshot(place.repository, id, &believed);
                let mark = marks.get(id).filter(|_| is_new);
                read.extend(mark.map(|mark| (id, mark, believed)));
            }
            Err(e) => failed.push((id.clone(), e.context(format!("look at snapshot {id}")))),
        }
    }
    place.proven.lock().await.believe(&read).await?;
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
