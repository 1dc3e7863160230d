//! What tombstones allow expire to delete, by object.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::archive::manifest;
use crate::archive::tombstone::WalRange;
use crate::archive::wal::WalName;
use crate::clock::{Timestamp, later};
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};
use crate::names::{InstanceName, Lsn, SnapshotId};
use crate::repository::layout;
use crate::repository::tombstones::Believed;

/// The shortest grace that a configuration may set, less what clocks may differ.
pub const GRACE_MIN: Duration = Duration::from_secs(45 * 60);

/// What expire was allowed to delete: of each name when the first tombstone named it. Whoever has a trusted
/// key can sign a tombstone, so a name counts only for what a run of expire deletes under it.
pub struct Announced<'a> {
    instance: &'a InstanceName,
    /// Snapshots and batches: all their objects.
    snapshots: HashMap<&'a SnapshotId, Timestamp>,
    /// Snapshots without a manifest: what else there is of them.
    unfinished: HashMap<&'a SnapshotId, Timestamp>,
    garbage: HashMap<&'a str, Timestamp>,
    wal: HashMap<TimelineId, Vec<(&'a WalRange, Timestamp)>>,
    size: SegmentBytes,
}

impl<'a> Announced<'a> {
    /// What these tombstones name; `size` is that of a segment.
    pub fn of(instance: &'a InstanceName, tombstones: &'a [Believed], size: SegmentBytes) -> Announced<'a> {
        let (snapshots, unfinished, garbage, wal) = Default::default();
        let mut all = Announced { instance, snapshots, unfinished, garbage, wal, size };
        let mut oldest_first: Vec<&Believed> = tombstones.iter().collect();
        oldest_first.sort_by_key(|one| one.stored_at);
        for Believed { tombstone, stored_at } in oldest_first {
            let named = &tombstone.named;
            for id in named.snapshots.iter().chain(&named.batches) {
                all.snapshots.entry(id).or_insert(*stored_at);
            }
            for id in &named.unfinished {
                all.unfinished.entry(id).or_insert(*stored_at);
            }
            for name in named.garbage.iter().filter(|name| may_be_garbage(instance, name)) {
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

    /// The snapshots that a tombstone names which was stored a grace before `at`.
    pub fn snapshots(&self, at: Timestamp) -> BTreeSet<SnapshotId> {
        let all = self.snapshots.iter().chain(&self.unfinished);
        all.filter(|(_, named)| in_time(**named, at)).map(|(id, _)| (*id).clone()).collect()
    }

    /// Whether a tombstone that was stored a grace before `at` names this snapshot.
    pub fn names_snapshot(&self, at: Timestamp, id: &SnapshotId) -> bool {
        self.snapshots.get(id).is_some_and(|named| in_time(*named, at))
    }

    /// Whether a tombstone that was stored a grace before `at` names this object, which was `stored` then.
    /// Without that, WAL is not named: a range means what was stored up to a time.
    pub fn names(&self, at: Timestamp, key: &str, stored: Option<Timestamp>) -> bool {
        let in_time = |named: &Timestamp| in_time(*named, at);
        let is_snapshot = || {
            let Some(id) = snapshot_of(self.instance, key) else { return false };
            let is_manifest = *key == layout::object(self.instance, &id, manifest::NAME);
            self.names_snapshot(at, &id) || !is_manifest && self.unfinished.get(&id).is_some_and(in_time)
        };
        let is_garbage = || {
            // Of a record that is garbage, a tombstone names the object, not its signature.
            let record = key.strip_suffix(layout::RECORD_SIGNATURE).unwrap_or(key);
            let drill = key.rsplit_once('/').map_or("", |(folder, _)| folder);
            let is_drill = drill.starts_with(&layout::drills(self.instance));
            let names = [Some(key), Some(record), is_drill.then_some(drill)];
            names.into_iter().flatten().filter_map(|name| self.garbage.get(name)).any(in_time)
        };
        let is_wal = || {
            let (Some((timeline, begin, end)), Some(stored)) = (self.wal_of(key), stored) else {
                return false;
            };
            let mut ranges = self.wal.get(&timeline).into_iter().flatten();
            ranges.any(|(range, named)| range.holds(begin, end, stored) && stored <= *named && in_time(named))
        };
        is_snapshot() || is_garbage() || is_wal()
    }

    fn wal_of(&self, key: &str) -> Option<(TimelineId, Lsn, Lsn)> {
        let folder = key.rsplitn(3, '/').nth(2)?;
        wal_in(&key.get(folder.len() + 1..)?.parse().ok()?, self.size)
    }
}

/// Timeline, begin and end of the WAL in an object; `None` of another file.
pub fn wal_in(name: &WalName, size: SegmentBytes) -> Option<(TimelineId, Lsn, Lsn)> {
    let (WalFile::Segment(segment) | WalFile::Partial(segment)) = name.file else { return None };
    let at = segment.begin(size)?;
    let (begin, end) = (Lsn(at.0 + u64::from(name.begin)), Lsn(at.0 + u64::from(name.end)));
    Some((name.file.timeline(), begin, end))
}

/// The snapshot to which this object belongs.
pub fn snapshot_of(instance: &InstanceName, key: &str) -> Option<SnapshotId> {
    key.split('/').filter_map(|part| part.parse::<SnapshotId>().ok()).find(|id| {
        key.strip_prefix(&layout::snapshot(instance, id)).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Whether expire can name this as garbage: an object of ours in the folder of a snapshot that its manifest
/// does not name, a record of a suspicious backup, the folder of a drill's report.
pub fn may_be_garbage(instance: &InstanceName, name: &str) -> bool {
    let below = |folder: String| name.strip_prefix(&folder).and_then(|rest| rest.strip_prefix('/'));
    let is_one = |rest: &str| !rest.is_empty() && !rest.contains('/');
    let is_part = |object: &str| ![manifest::NAME, manifest::SIGNATURE_NAME, ""].contains(&object);
    let of_snapshot = below(layout::snapshots(instance)).and_then(|rest| Some(rest.split_once('/')?.1));
    let of_batch = below(layout::arrivals(instance)).and_then(|rest| rest.splitn(3, '/').nth(2));
    layout::suspicion_of(instance, name).is_some()
        || below(layout::drills(instance)).is_some_and(is_one)
        || of_snapshot.or(of_batch).is_some_and(is_part)
}

fn in_time(named: Timestamp, at: Timestamp) -> bool {
    later(named, GRACE_MIN) <= at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_expire_names_as_garbage_is_garbage() {
        let instance: InstanceName = "prod".parse().unwrap();
        let id = "20261120T000000Z-dump-00000001";
        for name in [
            "instances/prod/drills/20261120-shop".to_owned(),
            format!("instances/prod/suspicions/{id}.json"),
            format!("instances/prod/snapshots/{id}/packs/000009.tar.zst.age"),
            format!("instances/prod/arrivals/20261120/{id}/index.zst.age"),
        ] {
            assert!(may_be_garbage(&instance, &name), "{name}");
        }
        for name in [
            "instances",
            "instances/prod",
            "instances/prod/drills",
            "instances/prod/snapshots",
            "instances/prod/wal",
            "instances/prod/holds/case-1/hold.json",
            "instances/prod/releases/r1/checkpoint.json",
            "instances/prod/arrivals/20261120",
            "instances/other/drills/20261120-shop",
        ] {
            assert!(!may_be_garbage(&instance, name), "{name}");
        }
        for object in ["", "/", "/manifest.json", "/manifest.json.sig"] {
            let name = format!("instances/prod/snapshots/{id}{object}");
            assert!(!may_be_garbage(&instance, &name), "{name}");
        }
    }
}
