//! How the instance and each tenant stand: what would be lost if they were gone now. A decision over
//! manifests and over which WAL is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::archive::base::BaseFacts;
use crate::archive::manifest::{Manifest, SnapshotKind};
use crate::clock::Timestamp;
use crate::names::wal::TimelineId;
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};
use crate::repository::wal::coverage::TimelineWindows;

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
    /// Nothing can bring it back.
    Never,
    /// The last check of its newest dump found that it cannot be restored whole.
    Broken,
    /// The newest state is older than it may be.
    Late,
    /// The newest dump lacks files.
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
    /// Files that the newest dump names and the repository does not hold.
    pub missing_files: u64,
    /// States of it that can be restored.
    pub dumps: usize,
    /// Dumps of it that cannot be restored whole, by the last check of each.
    pub broken_dumps: usize,
}

/// WAL that continues a base backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WalStatus {
    /// The newest timeline that is stored.
    pub timeline: TimelineId,
    /// The byte after its last that is stored.
    pub end: Lsn,
    /// When that was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// How long ago; an idle server writes no WAL.
    pub age_seconds: u64,
    /// Why the newest base backup and this WAL do not go together; `None` where they do.
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
    /// What it was meant to hold and does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The WAL behind it.
    pub wal: Option<WalStatus>,
}

/// How the whole cluster stands. `wal` is what is stored of the newest timeline, and when its last
/// object was.
pub fn instance(
    manifests: &[Manifest],
    wal: Option<(&TimelineWindows, Timestamp)>,
    broken_snapshots: &BTreeSet<&SnapshotId>,
    now: Timestamp,
) -> InstanceStatus {
    let bases = manifests.iter().filter(|manifest| manifest.kind == SnapshotKind::Base);
    let newest = bases.max_by_key(|manifest| (manifest.point, &manifest.id));
    let facts = newest.and_then(|manifest| manifest.base.as_ref());
    InstanceStatus {
        base: newest.map(|manifest| latest(manifest, now)),
        base_broken: newest.is_some_and(|manifest| broken_snapshots.contains(&manifest.id)),
        bad_pages: facts.map_or(0, |facts| facts.bad_page_count),
        left_out: facts.map_or(Vec::new(), |facts| facts.left_out.iter().map(|l| l.what.clone()).collect()),
        wal: wal.and_then(|(windows, stored_at)| {
            let last = windows.ranges.last()?;
            Some(WalStatus {
                timeline: windows.timeline,
                end: last.end,
                stored_at,
                age_seconds: age(stored_at, now),
                broken: facts.and_then(|facts| broken(facts, windows)),
            })
        }),
    }
}

/// A backup holds its own WAL up to the end of the segment that it ends in.
fn broken(facts: &BaseFacts, windows: &TimelineWindows) -> Option<String> {
    if windows.timeline.0 != facts.timeline {
        return Some(format!(
            "the newest base backup is of timeline {}: lifeboat restore --instance-to DIR --dry-run tells whether it leads there",
            TimelineId(facts.timeline)
        ));
    }
    let segment = facts.wal_segment_bytes.max(1);
    let covered = match facts.from_standby {
        true => facts.stop_lsn,
        false => Lsn(facts.stop_lsn.0.div_ceil(segment).saturating_mul(segment)),
    };
    let last = windows.ranges.last()?;
    (last.begin > covered && last.end > covered)
        .then(|| format!("WAL from {covered} to {} is not stored", last.begin))
}

/// Every tenant that has a snapshot or is `expected`, the worst first.
pub fn tenants(
    manifests: &[Manifest],
    expected: &[TenantName],
    instance: &InstanceStatus,
    broken: &BTreeSet<&SnapshotId>,
    (now, age_max): (Timestamp, Duration),
) -> Vec<TenantStatus> {
    let mut of: BTreeMap<&TenantName, Vec<&Manifest>> =
        expected.iter().map(|tenant| (tenant, Vec::new())).collect();
    for manifest in manifests {
        if let Some(tenant) = &manifest.tenant {
            of.entry(tenant).or_default().push(manifest);
        }
    }
    let one = |(tenant, manifests): (_, Vec<_>)| one(tenant, &manifests, instance, broken, (now, age_max));
    let mut all: Vec<TenantStatus> = of.into_iter().map(one).collect();
    all.sort_by_key(|status| (status.standing, std::cmp::Reverse(status.rpo_seconds)));
    all
}

fn age(of: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(of).as_secs()).unwrap_or(0)
}

fn latest(manifest: &Manifest, now: Timestamp) -> Latest {
    Latest {
        snapshot: manifest.id.clone(),
        point: manifest.point,
        age_seconds: age(manifest.point, now),
        release: manifest.release.clone(),
    }
}

fn one(
    tenant: &TenantName,
    manifests: &[&Manifest],
    instance: &InstanceStatus,
    broken: &BTreeSet<&SnapshotId>,
    (now, age_max): (Timestamp, Duration),
) -> TenantStatus {
    let of_kind = |kind| manifests.iter().filter(move |manifest| manifest.kind == kind);
    let newest = |kind| of_kind(kind).max_by_key(|manifest| (manifest.point, &manifest.id));
    let dump = newest(SnapshotKind::Dump);
    let link = dump.and_then(|manifest| manifest.dump.as_ref()?.filestore.as_ref());
    let missing_files = link.map_or(0, |link| link.missing_files);
    // Its files are in the base backup, and its rows in the WAL, whether it has a dump or not.
    let base = instance.base.as_ref().filter(|_| !instance.base_broken);
    let physical = base.map(|base| match &instance.wal {
        Some(wal) if wal.broken.is_none() => wal.age_seconds.min(base.age_seconds),
        _ => base.age_seconds,
    });
    let whole = of_kind(SnapshotKind::Dump).filter(|manifest| !broken.contains(&manifest.id));
    let dump_age = whole.map(|manifest| manifest.point).max().map(|point| age(point, now));
    let rpo_seconds = dump_age.into_iter().chain(physical).min();
    let standing = match rpo_seconds {
        _ if dump.is_some_and(|dump| broken.contains(&dump.id)) => Standing::Broken,
        None => Standing::Never,
        Some(age) if age > age_max.as_secs() => Standing::Late,
        Some(_) if missing_files > 0 => Standing::Incomplete,
        Some(_) => Standing::Ok,
    };
    TenantStatus {
        tenant: tenant.clone(),
        standing,
        rpo_seconds,
        dump: dump.map(|manifest| latest(manifest, now)),
        filestore: newest(SnapshotKind::Filestore).map(|manifest| latest(manifest, now)),
        missing_files,
        dumps: of_kind(SnapshotKind::Dump).filter(|manifest| !broken.contains(&manifest.id)).count(),
        broken_dumps: of_kind(SnapshotKind::Dump).filter(|manifest| broken.contains(&manifest.id)).count(),
    }
}
