//! What tombstones allow expire to delete, by object.

use std::collections::HashMap;
use std::time::Duration;

use crate::archive::tombstone::WalRange;
use crate::archive::wal::WalName;
use crate::clock::{Timestamp, later};
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};
use crate::names::{InstanceName, Lsn, SnapshotId};
use crate::repository::layout;
use crate::repository::tombstones::Believed;

/// The shortest grace that a configuration may set, less what clocks may differ.
const GRACE_MIN: Duration = Duration::from_secs(45 * 60);

/// What expire was allowed to delete: of each name when the first tombstone named it.
pub struct Announced<'a> {
    instance: &'a InstanceName,
    snapshots: HashMap<&'a SnapshotId, Timestamp>,
    garbage: HashMap<&'a str, Timestamp>,
    wal: HashMap<TimelineId, Vec<(&'a WalRange, Timestamp)>>,
    size: SegmentBytes,
}

impl<'a> Announced<'a> {
    /// What these tombstones name; `size` is that of a segment.
    pub fn of(instance: &'a InstanceName, tombstones: &'a [Believed], size: SegmentBytes) -> Announced<'a> {
        let (snapshots, garbage, wal) = Default::default();
        let mut all = Announced { instance, snapshots, garbage, wal, size };
        let mut oldest_first: Vec<&Believed> = tombstones.iter().collect();
        oldest_first.sort_by_key(|one| one.stored_at);
        for Believed { tombstone, stored_at } in oldest_first {
            let named = &tombstone.named;
            for id in named.snapshots.iter().chain(&named.batches).chain(&named.unfinished) {
                all.snapshots.entry(id).or_insert(*stored_at);
            }
            for name in &named.garbage {
                all.garbage.entry(name).or_insert(*stored_at);
            }
            for range in &named.wal {
                all.wal.entry(range.timeline).or_default().push((range, *stored_at));
            }
        }
        all
    }

    /// Whose.
    pub fn instance(&self) -> &InstanceName {
        self.instance
    }

    /// Whether a tombstone that was stored a grace before `at` names this snapshot.
    pub fn names_snapshot(&self, at: Timestamp, id: &SnapshotId) -> bool {
        self.snapshots.get(id).is_some_and(|named| in_time(*named, at))
    }

    /// Whether a tombstone that was stored a grace before `at` names this object.
    pub fn names(&self, at: Timestamp, key: &str) -> bool {
        let in_time = |named: &Timestamp| in_time(*named, at);
        let is_garbage = || {
            // Of a record that is garbage, a tombstone names the object, not its signature.
            let record = key.strip_suffix(layout::SUSPICION_SIGNATURE).unwrap_or(key);
            let folders = key.match_indices('/').map(|(at, _)| &key[..at]);
            folders.chain([key, record]).filter_map(|name| self.garbage.get(name)).any(in_time)
        };
        let is_wal = || {
            let Some((timeline, begin, end)) = self.wal_of(key) else { return false };
            let mut ranges = self.wal.get(&timeline).into_iter().flatten();
            ranges.any(|(range, named)| range.begin <= begin && end <= range.end && in_time(named))
        };
        let id = self.snapshot_of(key);
        id.is_some_and(|id| self.names_snapshot(at, &id)) || is_garbage() || is_wal()
    }

    /// The snapshot to which this object belongs.
    pub fn snapshot_of(&self, key: &str) -> Option<SnapshotId> {
        key.split('/').filter_map(|part| part.parse::<SnapshotId>().ok()).find(|id| {
            key.strip_prefix(&layout::snapshot(self.instance, id)).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    fn wal_of(&self, key: &str) -> Option<(TimelineId, Lsn, Lsn)> {
        let folder = key.rsplitn(3, '/').nth(2)?;
        let name: WalName = key.get(folder.len() + 1..)?.parse().ok()?;
        let (WalFile::Segment(segment) | WalFile::Partial(segment)) = name.file else { return None };
        let at = segment.begin(self.size)?;
        let (begin, end) = (Lsn(at.0 + u64::from(name.begin)), Lsn(at.0 + u64::from(name.end)));
        Some((name.file.timeline(), begin, end))
    }
}

fn in_time(named: Timestamp, at: Timestamp) -> bool {
    later(named, GRACE_MIN) <= at
}
