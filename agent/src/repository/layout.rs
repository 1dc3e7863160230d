//! The keys of all objects; docs/format.md describes the same.

use crate::archive::digest::Sha256;
use crate::archive::manifest::SnapshotKind;
use crate::archive::wal::{HalfDigest, WalName};
use crate::names::wal::{TimelineId, WalFile};
use crate::names::{HoldName, InstanceName, ReleaseId, SnapshotId};

/// The repository's description of itself.
pub const META: &str = "lifeboat.json";

/// Everything of an instance.
pub fn instance_prefix(instance: &InstanceName) -> String {
    format!("instances/{instance}")
}

/// Which cluster the instance is.
pub fn instance_meta(instance: &InstanceName) -> String {
    format!("instances/{instance}/instance.json")
}

/// Who may write, until when.
pub fn lease(instance: &InstanceName) -> String {
    format!("instances/{instance}/lease")
}

/// The folder of all snapshots.
pub fn snapshots(instance: &InstanceName) -> String {
    format!("instances/{instance}/snapshots")
}

/// Whether a key lies in the folder of a configuration snapshot. These are written beside backups, with a
/// lock of their own.
pub fn is_of_configuration(key: &str) -> bool {
    let id = key.rsplit_once("/snapshots/").and_then(|(_, rest)| rest.split('/').next());
    let id = id.and_then(|id| id.parse::<SnapshotId>().ok());
    id.is_some_and(|id| id.kind() == SnapshotKind::Config.as_str())
}

/// The folder of everything that was stored as it came, with one folder per day.
pub fn arrivals(instance: &InstanceName) -> String {
    format!("instances/{instance}/arrivals")
}

/// The folder of what was stored as it came on one day.
pub fn arrivals_of_day(instance: &InstanceName, day: &str) -> String {
    format!("{}/{day}", arrivals(instance))
}

/// The folder of a snapshot. Arrivals are separate: there are thousands of them, and a search for a backup
/// need not list them.
pub fn snapshot(instance: &InstanceName, id: &SnapshotId) -> String {
    match id.kind() == SnapshotKind::Arrivals.as_str() {
        true => format!("{}/{id}", arrivals_of_day(instance, id.day())),
        false => format!("{}/{id}", snapshots(instance)),
    }
}

/// An object of a snapshot; `name` as its manifest has it.
pub fn object(instance: &InstanceName, id: &SnapshotId, name: &str) -> String {
    format!("{}/{name}", snapshot(instance, id))
}

/// The folder of all drills' reports.
pub fn drills(instance: &InstanceName) -> String {
    format!("instances/{instance}/drills")
}

/// A file of a drill's report.
pub fn drill(instance: &InstanceName, drill: &str, name: &str) -> String {
    format!("instances/{instance}/drills/{drill}/{name}")
}

/// The folder of all tombstones.
pub fn tombstones(instance: &InstanceName) -> String {
    format!("instances/{instance}/expiry")
}

/// An object of a tombstone.
pub fn tombstone(instance: &InstanceName, run: &SnapshotId, name: &str) -> String {
    format!("instances/{instance}/expiry/{run}/{name}")
}

/// The folder of all releases' checkpoints.
pub fn releases(instance: &InstanceName) -> String {
    format!("instances/{instance}/releases")
}

/// The name of a release's folder: its ID, where that can be a name in a key; else what of it can, `=`, and
/// half of its SHA-256. An ID that is a name in a key has no `=`, so no two releases have the same folder.
pub fn release_folder(release: &ReleaseId) -> String {
    if release.is_plain() {
        return release.as_str().to_owned();
    }
    let digest = Sha256::of(release.as_str().as_bytes()).to_string();
    format!("{}={}", release.slug(), &digest[..32])
}

/// An object of a release's checkpoint.
pub fn release_object(instance: &InstanceName, release: &ReleaseId, name: &str) -> String {
    format!("instances/{instance}/releases/{}/{name}", release_folder(release))
}

/// The folder of all holds.
pub fn holds(instance: &InstanceName) -> String {
    format!("instances/{instance}/holds")
}

/// An object of a hold.
pub fn hold_object(instance: &InstanceName, hold: &HoldName, name: &str) -> String {
    format!("instances/{instance}/holds/{hold}/{name}")
}

/// What the signature of a record in one object has after the record's name.
pub const RECORD_SIGNATURE: &str = ".sig";

/// The folder of all records of suspicious backups.
pub fn suspicions(instance: &InstanceName) -> String {
    format!("instances/{instance}/suspicions")
}

/// The record of a suspicious snapshot.
pub fn suspicion(instance: &InstanceName, snapshot: &SnapshotId) -> String {
    format!("{}/{snapshot}.json", suspicions(instance))
}

/// The snapshot that a key of such a record names; `None` for another key.
pub fn suspicion_of(instance: &InstanceName, key: &str) -> Option<SnapshotId> {
    let name = key.strip_prefix(&suspicions(instance))?.strip_prefix('/')?;
    name.strip_suffix(".json")?.parse().ok()
}

/// The folder of all records of databases that are gone.
pub fn absences(instance: &InstanceName) -> String {
    format!("instances/{instance}/absences")
}

/// The record of a look at the server.
pub fn absence(instance: &InstanceName, look: &SnapshotId) -> String {
    format!("{}/{look}.json", absences(instance))
}

/// The look that a key of such a record names; `None` for another key.
pub fn absence_of(instance: &InstanceName, key: &str) -> Option<SnapshotId> {
    let name = key.strip_prefix(&absences(instance))?.strip_prefix('/')?;
    name.strip_suffix(".json")?.parse().ok()
}

/// Who may stream WAL, until when.
pub fn wal_lease(instance: &InstanceName) -> String {
    format!("instances/{instance}/wal/lease")
}

/// The folder of all WAL.
pub fn wal(instance: &InstanceName) -> String {
    format!("instances/{instance}/wal")
}

/// The folder of a timeline's WAL, without its history.
fn wal_timeline(instance: &InstanceName, timeline: TimelineId) -> String {
    format!("instances/{instance}/wal/{}", timeline.in_names())
}

/// The folder of all timelines' histories: separate, so that listing them lists nothing else.
pub fn wal_histories(instance: &InstanceName) -> String {
    format!("instances/{instance}/wal/history")
}

/// Where a timeline came from, in clear text, beside its history. `stored` is the digest of the object, so
/// that nobody can put another object in its place.
pub fn wal_lineage(instance: &InstanceName, timeline: TimelineId, stored: Sha256) -> String {
    let half = HalfDigest::from(stored);
    format!("{}/{}/ancestors-{half}.json", wal_histories(instance), WalFile::History(timeline))
}

/// The timeline whose ancestors an object lists; `None` where it is not such an object.
pub fn lineage_of(instance: &InstanceName, key: &str) -> Option<TimelineId> {
    let rest = key.strip_prefix(&wal_histories(instance))?.strip_prefix('/')?;
    let (timeline, name) = rest.split_once(".history/")?;
    let half = name.strip_prefix("ancestors-")?.strip_suffix(".json")?;
    let is_digest =
        half.len() == 32 && half.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    timeline.parse().ok().filter(|_| is_digest)
}

/// The folder of everything that is stored of one file of `pg_wal`.
pub fn wal_file(instance: &InstanceName, file: WalFile) -> String {
    match file {
        WalFile::History(_) => format!("{}/{file}", wal_histories(instance)),
        _ => format!("{}/{file}", wal_timeline(instance, file.timeline())),
    }
}

/// A WAL object.
pub fn wal_object(instance: &InstanceName, name: &WalName) -> String {
    let file = wal_file(instance, name.file);
    let folder = file.strip_suffix(&name.file.to_string()).unwrap_or(&file);
    format!("{folder}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_a_folder_of_its_own() {
        let folder = |id: &str| release_folder(&id.parse().unwrap());
        assert_eq!(folder("2026.11.29-rc1"), "2026.11.29-rc1");
        assert_eq!(folder("feature/12 sale"), "feature-12-sale=e0de8674776814904767036bd8bc656c");
        assert_ne!(folder("feature/12 sale"), folder("feature/12-sale"));
        assert!(folder("発売").starts_with('=') && folder("発売").len() == 33);
        assert!(folder(&"é/x".repeat(60)).len() <= 73);
    }
}
