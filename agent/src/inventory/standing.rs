//! How the instance and each tenant stand: what would be lost if they were gone now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::archive::elsewhere::Elsewhere;
use crate::archive::manifest::{FilestoreLink, SnapshotKind};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::inventory::choice::choose;
use crate::inventory::decide::obstacle_to_latest;
use crate::inventory::lives::{Life, lives};
use crate::inventory::pick::{newest, oldest_first};
use crate::inventory::reach::StoredWal;
use crate::inventory::target::Target;
use crate::inventory::{Inventory, Snapshot};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};

/// The newest snapshot of a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latest {
    /// Which.
    pub snapshot: SnapshotId,
    /// The moment whose state it holds.
    pub point: Timestamp,
    /// How long ago that is; 0 for a clock that is ahead of ours.
    pub age_seconds: u64,
    /// The release that it is tied to.
    pub release: Option<ReleaseId>,
}

/// From bad to good: the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing is stored from which it can be restored.
    Never,
    /// The last check of its newest dump found that it cannot be restored whole.
    Broken,
    /// The newest state is older than it may be.
    Late,
    /// Files are missing in the newest dump.
    Incomplete,
    /// All well.
    Ok,
}

/// How one tenant stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TenantStatus {
    /// Who.
    pub tenant: TenantName,
    /// How.
    pub standing: Standing,
    /// What would be lost if its database were gone now: the age of the newest state that can be
    /// restored, from a dump or from the base backup and its WAL.
    pub rpo_seconds: Option<u64>,
    /// The newest dump.
    pub dump: Option<Latest>,
    /// The newest filestore.
    pub filestore: Option<Latest>,
    /// Files that the newest dump names but that are not stored.
    pub missing_files: u64,
    /// Attachments of its newest dump in other storages: no backup of the filestore holds them.
    pub elsewhere: Vec<Elsewhere>,
    /// States of it that can be restored.
    pub dumps: usize,
    /// Dumps of it that cannot be restored whole, by the last check of each.
    pub broken_dumps: usize,
}

/// WAL that continues a base backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WalStatus {
    /// The timeline that is followed.
    pub timeline: TimelineId,
    /// The byte after its last that is stored.
    pub end: Lsn,
    /// When that was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// How long ago; an idle server writes no WAL.
    pub age_seconds: u64,
    /// Why recovery from the newest base backup does not reach the end of this WAL; `None` if it does.
    pub broken: Option<String>,
}

/// How the whole cluster stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InstanceStatus {
    /// The newest base backup.
    pub base: Option<Latest>,
    /// Whether the last check found that it cannot be restored whole.
    pub base_broken: bool,
    /// Pages in it whose checksum is wrong.
    pub bad_pages: u64,
    /// What is missing in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The WAL after it.
    pub wal: Option<WalStatus>,
}

/// How the whole cluster stands. Snapshots in `broken` were found damaged by the last check.
///
/// # Errors
/// If a snapshot with the name of a base backup is of another kind.
pub fn instance(
    inventory: &Inventory,
    broken: &BTreeSet<&SnapshotId>,
    now: Timestamp,
) -> Result<InstanceStatus> {
    let newest = newest(inventory, SnapshotKind::Base, None);
    let facts = newest.and_then(|one| one.manifest.base());
    let wal = match inventory.wal.found() {
        Some(wal) => {
            let lives = lives(wal, inventory.of_kind(SnapshotKind::Base, None));
            wal_status(newest, wal, &lives, now)?
        }
        None => None,
    };
    Ok(InstanceStatus {
        base: newest.map(|one| latest(one, now)),
        base_broken: newest.is_some_and(|one| broken.contains(&one.manifest.id)),
        bad_pages: facts.map_or(0, |facts| facts.bad_page_count),
        left_out: facts.map_or(Vec::new(), |facts| facts.left_out.iter().map(|l| l.what.clone()).collect()),
        wal,
    })
}

/// The WAL that continues the newest base backup; without one, of the newest timeline.
fn wal_status(
    newest: Option<&Snapshot>,
    wal: &StoredWal,
    lives: &[Life],
    now: Timestamp,
) -> Result<Option<WalStatus>> {
    let reached = match newest {
        Some(base) => choose(&[base], wal, lives, &Target::Immediate, None)?.reached.pop(),
        None => None,
    };
    let timeline = match &reached {
        Some(reached) => Some(reached.reach.timeline),
        None => wal.newest(),
    };
    let Some(timeline) = timeline else { return Ok(None) };
    let broken = reached.as_ref().and_then(|reached| obstacle_to_latest(reached, wal, lives));
    // What is stored of the timeline itself; nothing yet right after a promotion.
    let followed = |id: TimelineId| match &reached {
        Some(reached) => reached.reach.path.iter().any(|(known, _)| *known == id),
        None => id == timeline,
    };
    Ok(wal.end_of(followed).map(|(end, stored_at)| WalStatus {
        timeline,
        end,
        stored_at,
        age_seconds: age(stored_at, now),
        broken,
    }))
}

/// Every tenant that has a snapshot or is `expected`, the worst first.
pub fn tenants(
    inventory: &Inventory,
    expected: &[TenantName],
    instance: &InstanceStatus,
    broken: &BTreeSet<&SnapshotId>,
    (now, age_max): (Timestamp, Duration),
) -> Vec<TenantStatus> {
    let mut of: BTreeMap<&TenantName, Vec<&Snapshot>> =
        expected.iter().map(|tenant| (tenant, Vec::new())).collect();
    for one in inventory.believed() {
        if let Some(tenant) = &one.manifest.tenant {
            of.entry(tenant).or_default().push(one);
        }
    }
    let one = |(tenant, snapshots): (_, Vec<_>)| one(tenant, &snapshots, instance, broken, (now, age_max));
    let mut all: Vec<TenantStatus> = of.into_iter().map(one).collect();
    all.sort_by_key(|status| (status.standing, std::cmp::Reverse(status.rpo_seconds)));
    all
}

fn age(of: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(of).as_secs()).unwrap_or(0)
}

fn latest(one: &Snapshot, now: Timestamp) -> Latest {
    Latest {
        snapshot: one.manifest.id.clone(),
        point: one.manifest.point,
        age_seconds: age(one.time(), now),
        release: one.manifest.release.clone(),
    }
}

fn one(
    tenant: &TenantName,
    snapshots: &[&Snapshot],
    instance: &InstanceStatus,
    broken: &BTreeSet<&SnapshotId>,
    (now, age_max): (Timestamp, Duration),
) -> TenantStatus {
    let of_kind = |kind| snapshots.iter().copied().filter(move |one| one.manifest.kind() == kind);
    let newest = |kind| oldest_first(of_kind(kind)).pop();
    let dump = newest(SnapshotKind::Dump);
    let link = dump.and_then(|one| one.manifest.link());
    let missing_files = link.map_or(0, FilestoreLink::missing_count);
    // Its files are in the base backup, and its rows in the WAL, whether it has a dump or not.
    let base = instance.base.as_ref().filter(|_| !instance.base_broken);
    let physical = base.map(|base| match &instance.wal {
        Some(wal) if wal.broken.is_none() => wal.age_seconds.min(base.age_seconds),
        _ => base.age_seconds,
    });
    let (bad, whole): (Vec<&Snapshot>, Vec<&Snapshot>) =
        of_kind(SnapshotKind::Dump).partition(|one| broken.contains(&one.manifest.id));
    let (broken_dumps, dumps) = (bad.len(), whole.len());
    let dump_age = oldest_first(whole).pop().map(|one| age(one.time(), now));
    let rpo_seconds = dump_age.into_iter().chain(physical).min();
    let standing = match rpo_seconds {
        _ if dump.is_some_and(|dump| broken.contains(&dump.manifest.id)) => Standing::Broken,
        None => Standing::Never,
        Some(age) if age > age_max.as_secs() => Standing::Late,
        Some(_) if missing_files > 0 => Standing::Incomplete,
        Some(_) => Standing::Ok,
    };
    TenantStatus {
        tenant: tenant.clone(),
        standing,
        rpo_seconds,
        dump: dump.map(|one| latest(one, now)),
        filestore: newest(SnapshotKind::Filestore).map(|one| latest(one, now)),
        missing_files,
        elsewhere: link.map(|link| link.elsewhere.clone()).unwrap_or_default(),
        dumps,
        broken_dumps,
    }
}
