//! What the rules look at: everything that is stored, with the times of the store. Plain values; nothing here
//! reads anything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::needs_of_needs;
use crate::archive::manifest::{ColdFacts, SnapshotKind};
use crate::archive::wal::WalName;
use crate::archive::wal_history::Ancestor;
use crate::clock::Timestamp;
use crate::inventory::needs::Graph;
use crate::inventory::pick::MARGIN;
use crate::inventory::{Inventory, Look, Snapshot};
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};
use crate::repository::absences::StoredAbsence;
use crate::retention::garbage::Garbage;
use crate::retention::hold::Hold;

/// A snapshot that is believed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Which.
    pub id: SnapshotId,
    /// Its kind.
    pub kind: SnapshotKind,
    /// Whose.
    pub tenant: Option<TenantName>,
    /// The release it is tied to.
    pub release: Option<ReleaseId>,
    /// When it was stored, by the store's clock: its age, whatever its writer says.
    pub stored_at: Timestamp,
    /// The time of its writer, where that is not the store's: by a wrong clock, on purpose, or because the
    /// repository was copied. Then the snapshot has periods of its own: it takes the place of no other.
    pub claims: Option<Timestamp>,
    /// Size of its objects.
    pub bytes: u64,
    /// Whether all that it needs is stored, believed and not damaged.
    pub whole: bool,
    /// Whether it may be whole: what it lacks could not be read, or is damaged and may be repaired. It takes
    /// the place of none that is whole, nor the other way round.
    pub may_be_whole: bool,
    /// What it cannot be restored without, itself included; long lists that a file keeps in a shorter form.
    #[serde(skip)]
    pub needs: BTreeSet<SnapshotId>,
    /// Where a base backup begins, and where it is consistent.
    pub base: Option<BaseRange>,
    /// Whether it misses more files than it names: some may be in any batch.
    pub misses_unnamed: bool,
    /// Its storage class, if not the bucket's own.
    pub cold: Option<ColdFacts>,
}

/// The WAL that a base backup cannot be started without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRange {
    /// The timeline that it was taken on.
    pub timeline: TimelineId,
    /// Where replay begins.
    pub start: Lsn,
    /// Where it is consistent.
    pub stop: Lsn,
    /// Size of a segment.
    pub segment: u64,
}

/// A batch of files that were stored as they came. Whether it is believed is asked before it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Which.
    pub id: SnapshotId,
    /// When its manifest was stored.
    pub stored_at: Timestamp,
    /// Size of its objects.
    pub bytes: u64,
}

/// A stored range of WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalItem {
    /// Its timeline.
    pub timeline: TimelineId,
    /// Its first byte.
    pub begin: Lsn,
    /// The byte after its last.
    pub end: Lsn,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// Size of the object.
    pub bytes: u64,
}

/// The WAL that is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WalStock {
    /// All of it.
    pub items: Vec<WalItem>,
    /// The name of the object of each of them; only a run that deletes or locks asks for it.
    #[serde(skip)]
    pub names: Vec<WalName>,
    /// Where each timeline came from.
    pub histories: BTreeMap<TimelineId, Vec<Ancestor>>,
    /// Timelines whose origin is not known: they may come from any other.
    pub unknown: BTreeSet<TimelineId>,
    /// Size of a segment.
    pub segment: SegmentBytes,
}

impl WalStock {
    /// Whether a timeline comes from another one, at or after the end of this base backup of it.
    pub fn comes_from(&self, timeline: TimelineId, base: &BaseRange) -> bool {
        let mut ancestors = self.histories.get(&timeline).into_iter().flatten();
        ancestors.any(|one| one.timeline == base.timeline && one.until >= base.stop)
    }
}

/// The checkpoint of a release: what it takes to go back to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleasePoint {
    /// Which.
    pub release: ReleaseId,
    /// When its evidence was stored.
    pub stored_at: Timestamp,
    /// The tenants that it covers.
    pub tenants: Vec<TenantName>,
    /// Base backups, dumps, filestores, batches and the configuration that it names.
    pub names: BTreeSet<SnapshotId>,
    /// The restore point, where there is one.
    pub point: Option<(TimelineId, Lsn)>,
    /// The report of a drill that its evidence names.
    pub drill: Option<String>,
}

/// The last good snapshots before a suspicious one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GoodBefore {
    /// The suspicious one.
    pub suspicious: SnapshotId,
    /// The good ones.
    pub good: Vec<SnapshotId>,
    /// Until when they are kept for it, by the store's clock.
    pub until: Timestamp,
}

/// A part that may not be known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Known<T> {
    /// What there is.
    All(T),
    /// It could not be read, and why.
    Unknown(String),
}

impl<T> Known<T> {
    /// Why it is not known; `None` where it is.
    pub fn why_unknown(&self) -> Option<&str> {
        match self {
            Known::Unknown(why) => Some(why),
            Known::All(_) => None,
        }
    }
}

/// What is known of databases that are gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dropped {
    /// The looks that are stored, in their order.
    pub looks: Known<Vec<StoredAbsence>>,
    /// Tenants that `odoo.tenants` names: they are never gone.
    pub named: BTreeSet<TenantName>,
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stock {
    /// Snapshots that are believed, in the order in which they were stored.
    pub items: Vec<Item>,
    /// Those that could not be read, and why.
    pub unread: Vec<Told>,
    /// Those that are not believed, and why: damaged, or of somebody else. Only a person removes them.
    pub not_believed: Vec<Told>,
    /// Those without a manifest, and when their newest object was stored, if they have one.
    pub unfinished: Vec<(SnapshotId, Option<Timestamp>)>,
    /// Batches, in the order in which they were stored.
    pub batches: Known<Vec<Batch>>,
    /// WAL.
    pub wal: Known<WalStock>,
    /// Checkpoints of releases.
    pub releases: Known<Vec<ReleasePoint>>,
    /// Holds.
    pub holds: Known<Vec<Hold>>,
    /// Why removals of some of them do not count.
    pub not_removed: Vec<String>,
    /// Suspicious backups, with the snapshots that are kept for each.
    pub suspicions: Known<Vec<GoodBefore>>,
    /// Every tenant: one of which no backup is stored may have files in batches.
    pub tenants: Known<BTreeSet<TenantName>>,
    /// Looks at the server that found databases gone.
    pub dropped: Dropped,
    /// What belongs to none of all that.
    pub garbage: Garbage,
}

impl Stock {
    /// The batches; none where they are not known.
    pub fn batches(&self) -> &[Batch] {
        match &self.batches {
            Known::All(batches) => batches,
            Known::Unknown(_) => &[],
        }
    }

    /// Whether everything is known that a hold may keep. Holds must be known, and what they keep: whatever
    /// could not be read, or is damaged, may be held or needed by what is held.
    pub fn is_held_known(&self) -> bool {
        let unknown = [
            self.holds.why_unknown(),
            self.batches.why_unknown(),
            self.wal.why_unknown(),
            self.releases.why_unknown(),
            self.tenants.why_unknown(),
        ];
        unknown.iter().all(Option::is_none) && self.unread.is_empty() && self.not_believed.is_empty()
    }

    /// When something was last stored that is believed: time stands still for the rules where nothing is
    /// stored any more.
    pub fn newest(&self) -> Option<Timestamp> {
        let snapshots = self.items.iter().map(|item| item.stored_at);
        let wal = match &self.wal {
            Known::All(wal) => wal.items.iter().map(|item| item.stored_at).max(),
            Known::Unknown(_) => None,
        };
        snapshots.chain(wal).max()
    }
}

impl Stock {
    /// Size of all of it that is known.
    pub fn bytes(&self) -> u64 {
        let wal = match &self.wal {
            Known::All(wal) => wal.items.iter().map(|item| item.bytes).sum(),
            Known::Unknown(_) => 0,
        };
        let snapshots: u64 = self.items.iter().map(|item| item.bytes).sum();
        let batches: u64 = self.batches().iter().map(|batch| batch.bytes).sum();
        let garbage: u64 = self.garbage.pieces.iter().map(|piece| piece.bytes).sum();
        wal + snapshots + batches + garbage
    }

    /// What is not known, in words: because of it, more stays than has to.
    pub fn unknown(&self) -> Vec<String> {
        let parts = [
            ("batches of files (none is deleted)", self.batches.why_unknown()),
            ("WAL (none is deleted)", self.wal.why_unknown()),
            ("checkpoints of releases (nothing is deleted)", self.releases.why_unknown()),
            ("holds (nothing is deleted)", self.holds.why_unknown()),
            ("suspicious backups (no dump and no filestore is deleted)", self.suspicions.why_unknown()),
            ("which tenants there are (no batch of files is deleted)", self.tenants.why_unknown()),
            ("which databases are gone (none counts as gone)", self.dropped.looks.why_unknown()),
        ];
        let parts = parts.into_iter().filter_map(|(what, why)| Some(format!("{what}: {}", why?)));
        let snapshots = self.unread.iter().chain(&self.not_believed);
        let snapshots = snapshots.map(|(id, why)| format!("snapshot {id}: {why}"));
        let holds = self.not_removed.iter().map(|why| format!("{why} (the hold still holds)"));
        parts.chain(holds).chain(snapshots).chain(self.garbage.unknown.iter().cloned()).collect()
    }
}

/// The snapshots of an inventory as items, in the order in which they were stored; those that are `broken`
/// are not whole. Those that somebody `tampered` with can be put back.
pub fn items(inventory: &Inventory, broken: &BTreeSet<SnapshotId>, tampered: &[Told]) -> Vec<Item> {
    let graph = Graph::of(inventory.believed().map(|one| &one.manifest));
    // What could not be read, or is damaged, is not missing.
    let is_there = |(id, look): &(SnapshotId, Look)| match look {
        Look::NotRead(_) | Look::NotBelieved(_) => Some(id.clone()),
        Look::Believed(_) | Look::Unfinished => None,
    };
    let there = inventory.snapshots.iter().filter_map(is_there);
    let there: BTreeSet<SnapshotId> = there.chain(tampered.iter().map(|(id, _)| id.clone())).collect();
    let whole = |id: &SnapshotId| {
        let lacks = graph.lacks(id);
        let whole = lacks.is_empty() && (broken.is_empty() || graph.needs(id).is_disjoint(broken));
        (whole, lacks.iter().all(|id| there.contains(id)))
    };
    let mut items: Vec<Item> =
        inventory.believed().map(|one| item(one, &graph, whole(&one.manifest.id))).collect();
    items.sort_by(|a, b| (a.stored_at, &a.id).cmp(&(b.stored_at, &b.id)));
    // What a dump's missing files are held in needs more itself.
    let mut needs: Vec<_> = items.iter_mut().map(|item| (item.id.clone(), &mut item.needs)).collect();
    needs_of_needs::add(&mut needs);
    items
}

fn item(one: &Snapshot, graph: &Graph, (whole, may_be_whole): (bool, bool)) -> Item {
    let manifest = &one.manifest;
    let mut needs = graph.needs(&manifest.id);
    needs.extend(one.held_in.iter().cloned());
    let apart: SignedDuration = manifest.ended.duration_since(one.stored_at);
    let segment = |facts: &crate::archive::base::BaseFacts| BaseRange {
        timeline: TimelineId(facts.timeline),
        start: facts.start_lsn,
        stop: facts.stop_lsn,
        segment: facts.wal_segment_bytes.max(1),
    };
    Item {
        id: manifest.id.clone(),
        kind: manifest.kind(),
        tenant: manifest.tenant.clone(),
        release: manifest.release.clone(),
        stored_at: one.stored_at,
        claims: (apart.abs() > MARGIN).then_some(manifest.ended.min(one.stored_at)),
        bytes: one.stored_bytes,
        whole,
        may_be_whole,
        needs,
        base: manifest.base().map(segment),
        misses_unnamed: one.misses_unnamed,
        cold: manifest.dump().and_then(|dump| dump.cold.clone()),
    }
}

/// A snapshot of which nothing is known, or that is not believed, and why.
pub type Told = (SnapshotId, String);

/// The snapshots of an inventory that could not be read.
pub fn unread(inventory: &Inventory) -> Vec<Told> {
    let told = |(id, look): &(SnapshotId, Look)| match look {
        Look::NotRead(e) => Some((id.clone(), e.line())),
        _ => None,
    };
    inventory.snapshots.iter().filter_map(told).collect()
}

/// The snapshots of an inventory that are not believed.
pub fn not_believed(inventory: &Inventory) -> Vec<Told> {
    let told = |(id, look): &(SnapshotId, Look)| match look {
        Look::NotBelieved(e) => Some((id.clone(), e.line())),
        _ => None,
    };
    inventory.snapshots.iter().filter_map(told).collect()
}
