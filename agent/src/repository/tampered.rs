//! What a bucket with versions remembers, and no listing shows: objects that were deleted although no
//! tombstone named them a grace before, and objects that were written again. Lifeboat does neither.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;

use crate::archive::manifest;
use crate::archive::wal::WalName;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::names::wal::{SegmentBytes, WalFile};
use crate::names::{InstanceName, Lsn, SnapshotId};
use crate::repository::tombstones::Believed;
use crate::repository::{Repository, layout};
use crate::store::versions::{ObjectVersion, Versioning};

/// The shortest grace that a configuration may set, less what clocks may differ.
const GRACE_MIN: Duration = Duration::from_secs(45 * 60);

/// What was done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// It is not there any more.
    Deleted,
    /// It is another one than it was.
    WrittenAgain,
}

/// How often, and when first and last.
#[derive(Clone, Copy, Debug)]
pub struct Deeds {
    /// Objects.
    pub count: u64,
    /// When the first.
    pub first: Timestamp,
    /// When the last.
    pub last: Timestamp,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Tampered {
    /// By folder below the instance, such as `snapshots/ID`.
    pub folders: BTreeMap<(String, Deed), Deeds>,
    /// Snapshots whose manifest was deleted.
    pub snapshots: BTreeMap<SnapshotId, Timestamp>,
}

impl Repository {
    /// Looks at the versions of everything below the folder `below`. `tombstones` are those that are
    /// believed; `size` is that of a segment. Nothing where the store keeps no versions.
    ///
    /// # Errors
    /// `Denied` where a right is missing, `Config` where the server knows no versions; others of the store.
    pub async fn tampered(
        &self,
        below: &str,
        tombstones: &[Believed],
        size: SegmentBytes,
    ) -> Result<Tampered> {
        if !self.store().has_versions() || matches!(self.store().versioning().await, Ok(Versioning::Off)) {
            return Ok(Tampered::default());
        }
        look(self, below, tombstones, size).await
    }
}

async fn look(
    repository: &Repository,
    folder: &str,
    tombstones: &[Believed],
    size: SegmentBytes,
) -> Result<Tampered> {
    let instance = repository.instance();
    let announced = Announced { instance, tombstones, size };
    let mut found = Tampered::default();
    let mut listed = repository.store().versions(folder);
    let mut versions: Vec<ObjectVersion> = Vec::new();
    loop {
        let next = listed.try_next().await?;
        let is_other =
            versions.last().is_some_and(|last| next.as_ref().is_none_or(|v| v.info.key != last.info.key));
        if is_other {
            if let Some((deed, at)) = deed(&versions, &announced) {
                let key = &versions[0].info.key;
                if deed == Deed::Deleted
                    && let Some(id) = announced.snapshot_of(key)
                    && *key == layout::object(instance, &id, manifest::NAME)
                {
                    found.snapshots.insert(id, at);
                }
                let deeds = found.folders.entry((folder_of(key, instance), deed)).or_insert(Deeds {
                    count: 0,
                    first: at,
                    last: at,
                });
                deeds.count += 1;
                (deeds.first, deeds.last) = (deeds.first.min(at), deeds.last.max(at));
            }
            versions.clear();
        }
        match next {
            None => return Ok(found),
            // The newest and the two oldest are enough, however many somebody makes.
            Some(version) if versions.len() < 4 => versions.push(version),
            Some(version) => {
                versions.remove(2);
                versions.push(version);
            }
        }
    }
}

/// The folder of an object, without what all have in common.
fn folder_of(key: &str, instance: &InstanceName) -> String {
    let rest = key.strip_prefix(&layout::instance_prefix(instance)).unwrap_or(key).trim_start_matches('/');
    let depth = if rest.starts_with("arrivals/") { 3 } else { 2 };
    let parts: Vec<&str> = rest.split('/').collect();
    parts[..depth.min(parts.len())].join("/")
}

/// What was done to an object with these versions, the newest first, and when.
fn deed(versions: &[ObjectVersion], announced: &Announced) -> Option<(Deed, Timestamp)> {
    let newest = versions.first()?;
    let key = &newest.info.key;
    let name = key.rsplit('/').next().unwrap_or_default();
    let instance = announced.instance;
    let is_replaced = *key == layout::lease(instance) || *key == layout::wal_lease(instance);
    if is_replaced || name.starts_with("probe") {
        return None;
    }
    // A tombstone is removed if something in it is needed after all.
    let may_go = || {
        key.starts_with(&format!("{}/", layout::tombstones(instance)))
            || announced.names(newest.info.modified, versions.last().unwrap_or(newest))
    };
    // Without an older version nothing can be put back: the bucket's own rules have removed it.
    if versions.iter().all(|version| version.is_marker) {
        return None;
    }
    if newest.is_marker {
        return (!may_go()).then_some((Deed::Deleted, newest.info.modified));
    }
    let mut contents = versions.iter().filter(|version| !version.is_marker);
    let (last, earlier) = (contents.next()?, contents.next());
    (earlier.is_some() && !may_go()).then_some((Deed::WrittenAgain, last.info.modified))
}

/// What expire was allowed to delete.
struct Announced<'a> {
    instance: &'a InstanceName,
    tombstones: &'a [Believed],
    size: SegmentBytes,
}

impl Announced<'_> {
    /// Whether a tombstone that was stored a grace before `at` names this object.
    fn names(&self, at: Timestamp, object: &ObjectVersion) -> bool {
        let key = &object.info.key;
        let id = self.snapshot_of(key);
        let wal = self.wal_of(key);
        let names = |one: &&Believed| {
            let named = &one.tombstone.named;
            let is_in = |id: &SnapshotId| {
                named.snapshots.contains(id) || named.batches.contains(id) || named.unfinished.contains(id)
            };
            let is_garbage = || {
                let folders = key.match_indices('/').map(|(at, _)| &key[..at]);
                folders.chain([key.as_str()]).any(|name| named.garbage.contains(name))
            };
            let is_wal = || {
                let Some((name, begin, end)) = wal else { return false };
                let timeline = name.file.timeline();
                named
                    .wal
                    .iter()
                    .any(|range| range.timeline == timeline && range.begin <= begin && end <= range.end)
            };
            id.as_ref().is_some_and(is_in) || is_garbage() || is_wal()
        };
        let old_enough = |one: &&Believed| one.stored_at.checked_add(GRACE_MIN).is_ok_and(|from| from <= at);
        self.tombstones.iter().filter(old_enough).any(|one| names(&one))
    }

    fn snapshot_of(&self, key: &str) -> Option<SnapshotId> {
        key.split('/').filter_map(|part| part.parse::<SnapshotId>().ok()).find(|id| {
            key.strip_prefix(&layout::snapshot(self.instance, id)).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    fn wal_of(&self, key: &str) -> Option<(WalName, Lsn, Lsn)> {
        let folder = key.rsplitn(3, '/').nth(2)?;
        let name: WalName = key.get(folder.len() + 1..)?.parse().ok()?;
        let (WalFile::Segment(segment) | WalFile::Partial(segment)) = name.file else { return None };
        let at = segment.begin(self.size)?;
        Some((name, Lsn(at.0 + u64::from(name.begin)), Lsn(at.0 + u64::from(name.end))))
    }
}
