//! What a bucket with versions remembers, and no listing shows: objects that were deleted although no
//! tombstone named them a grace before, and objects that were written again. Lifeboat does neither.

use std::collections::BTreeMap;

use futures::TryStreamExt;

use crate::archive::manifest;
use crate::clock::Timestamp;
use crate::error::{Kind, Result};
use crate::names::wal::SegmentBytes;
use crate::names::{InstanceName, SnapshotId};
use crate::repository::announced::{Announced, snapshot_of};
use crate::repository::tombstones::Believed;
use crate::repository::{Repository, layout};
use crate::store::versions::{ObjectVersion, Versioning};

/// Folders that are told apart: whoever writes to the store chooses their names.
const FOLDERS_MAX: usize = 10_000;

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
    /// Objects in further folders.
    pub more: u64,
    /// Snapshots and batches whose manifest was deleted or written again, and when.
    pub manifests: BTreeMap<SnapshotId, (Deed, Timestamp)>,
}

impl Repository {
    /// Whether the store keeps versions. One that does not say is asked for some: several servers know none.
    pub async fn keeps_versions(&self) -> bool {
        let store = self.store();
        if !store.has_versions() {
            return false;
        }
        match store.versioning().await {
            Ok(found) => found != Versioning::Off,
            Err(_) => {
                let first = store.versions(&layout::instance_prefix(self.instance())).try_next().await;
                !first.is_err_and(|e| e.kind() == Kind::Config)
            }
        }
    }

    /// Looks at the versions of everything below the folder `below`. `tombstones` are those that are
    /// believed; `size` is that of a segment.
    ///
    /// # Errors
    /// `Denied` where a right is missing; others of the store.
    pub async fn tampered(
        &self,
        below: &str,
        tombstones: &[Believed],
        size: SegmentBytes,
    ) -> Result<Tampered> {
        look(self, below, tombstones, size).await
    }
}

impl Tampered {
    fn add(&mut self, folder: (String, Deed), at: Timestamp) {
        if self.folders.len() >= FOLDERS_MAX && !self.folders.contains_key(&folder) {
            self.more += 1;
            return;
        }
        let deeds = self.folders.entry(folder).or_insert(Deeds { count: 0, first: at, last: at });
        deeds.count += 1;
        (deeds.first, deeds.last) = (deeds.first.min(at), deeds.last.max(at));
    }
}

async fn look(
    repository: &Repository,
    folder: &str,
    tombstones: &[Believed],
    size: SegmentBytes,
) -> Result<Tampered> {
    let instance = repository.instance();
    let announced = Announced::of(instance, tombstones, size);
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
                if let Some(id) = snapshot_of(instance, key)
                    && *key == layout::object(instance, &id, manifest::NAME)
                {
                    found.manifests.insert(id, (deed, at));
                }
                found.add((folder_of(key, instance), deed), at);
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
fn deed(versions: &[ObjectVersion], announced: &Announced<'_>) -> Option<(Deed, Timestamp)> {
    let newest = versions.first()?;
    let key = &newest.info.key;
    let name = key.rsplit('/').next().unwrap_or_default();
    let instance = announced.instance();
    let is_replaced = *key == layout::lease(instance) || *key == layout::wal_lease(instance);
    if is_replaced || name.starts_with("probe") {
        return None;
    }
    // Whether what was hidden by this marker, the version at that place, could go then. A tombstone is
    // removed if something in it is needed after all.
    let could_go = |at: usize| {
        let stored = versions[at..].iter().find(|version| !version.is_marker);
        key.starts_with(&format!("{}/", layout::tombstones(instance)))
            || announced.names(versions[at].info.modified, key, stored.map(|version| version.info.modified))
    };
    // Without an older version nothing can be put back: the bucket's own rules have removed it.
    if versions.iter().all(|version| version.is_marker) {
        return None;
    }
    if newest.is_marker {
        return (!could_go(0)).then_some((Deed::Deleted, newest.info.modified));
    }
    // A tombstone allows to delete, not to overwrite.
    let was_deleted = versions.get(1).is_some_and(|version| version.is_marker) && could_go(1);
    let contents = versions.iter().filter(|version| !version.is_marker);
    (contents.count() > 1 && !was_deleted).then_some((Deed::WrittenAgain, newest.info.modified))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tombstone::{Named, Tombstone};
    use crate::store::ObjectInfo;
    use crate::store::versions::VersionId;

    const KEY: &str = "instances/prod/suspicions/20261120T000000Z-dump-00000001.json";

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3_600).unwrap()
    }

    /// A version of that hour; a marker hides what is older.
    fn version(hour: i64, is_marker: bool) -> ObjectVersion {
        let info = ObjectInfo { key: KEY.to_owned(), bytes: 1, modified: at(hour), etag: None, odd: None };
        ObjectVersion { info, id: VersionId::new(hour.to_string()), is_latest: false, is_marker }
    }

    #[test]
    fn an_object_that_was_written_again_is_judged_by_the_deletion_before_it() {
        let named = Named { garbage: [KEY.to_owned()].into(), ..Named::default() };
        let zeros = format!("\"{}\"", "0".repeat(64));
        let origin = format!(
            r#"{{"repository":"r","repository_sha256":{zeros},"instance":"prod","instance_sha256":{zeros}}}"#
        );
        let origin = serde_json::from_str(&origin).unwrap();
        let tombstone = Tombstone::new(origin, SnapshotId::new(at(10), "expiry"), at(10), named, 1);
        let tombstones = [Believed { tombstone, stored_at: at(10) }];
        let prod = "prod".parse().unwrap();
        let announced = Announced::of(&prod, &tombstones, SegmentBytes::USUAL);
        let told = |versions: &[(i64, bool)]| {
            let versions: Vec<ObjectVersion> = versions.iter().map(|one| version(one.0, one.1)).collect();
            deed(&versions, &announced).map(|(deed, _)| deed)
        };
        assert_eq!(told(&[(12, true), (5, false)]), None, "expire deleted it");
        assert_eq!(told(&[(10, true), (5, false)]), Some(Deed::Deleted), "before a grace");
        assert_eq!(told(&[(20, false), (12, true), (5, false)]), None);
        // However late it is written again.
        assert_eq!(told(&[(20, false), (10, true), (5, false)]), Some(Deed::WrittenAgain));
        assert_eq!(told(&[(20, false), (5, false)]), Some(Deed::WrittenAgain), "nobody deleted it");
    }
}
