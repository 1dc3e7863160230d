//! Listings of what is stored of snapshots: by day for batches, of which there are thousands.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::manifest::SnapshotKind;
use crate::error::{Error, Result};
use crate::names::SnapshotId;
use crate::repository::{Repository, layout};
use crate::store::ObjectInfo;

/// Folders listed at a time.
const AT_ONCE: usize = 16;
/// From so many batches of a day on, the day is listed: a request for every thousand objects, not for each
/// batch.
const BY_DAY: usize = 8;

/// The folders in which all objects of these snapshots are.
pub fn of<'a>(
    repository: &Repository,
    ids: impl Iterator<Item = &'a SnapshotId> + Clone,
) -> BTreeSet<String> {
    let instance = repository.instance();
    let is_batch = |id: &SnapshotId| id.kind() == SnapshotKind::Arrivals.as_str();
    let mut batches: HashMap<&str, usize> = HashMap::new();
    for id in ids.clone().filter(|id| is_batch(id)) {
        *batches.entry(id.day()).or_default() += 1;
    }
    let folder = |id: &SnapshotId| match batches.get(id.day()) {
        Some(count) if is_batch(id) && *count >= BY_DAY => layout::arrivals_of_day(instance, id.day()),
        _ => layout::snapshot(instance, id),
    };
    ids.map(folder).collect()
}

/// What was listed.
#[derive(Debug, Default)]
pub struct Listed {
    /// The objects, by key.
    pub objects: HashMap<String, ObjectInfo>,
    /// The folders that could not be listed, each ending with a slash, and why.
    pub failed: Vec<(String, Error)>,
}

impl Listed {
    /// Why the folder of an object could not be listed; `None` where it was.
    pub fn failure(&self, key: &str) -> Option<&Error> {
        self.failed.iter().find(|(folder, _)| key.starts_with(folder.as_str())).map(|(_, e)| e)
    }
}

/// Lists folders; keeps only objects whose keys are wanted: anybody who can write to the store can add
/// others.
pub async fn list<'a>(
    repository: &Repository,
    folders: impl Iterator<Item = &'a String>,
    wanted: impl Fn(&str) -> bool + Copy,
) -> Listed {
    let mut lists = stream::iter(folders)
        .map(|folder| async move {
            let keep = |info: ObjectInfo| async move { Ok(wanted(&info.key).then_some(info)) };
            let found: Result<Vec<ObjectInfo>> =
                repository.store().list(folder).try_filter_map(keep).try_collect().await;
            (folder, found)
        })
        .buffer_unordered(AT_ONCE);
    let mut listed = Listed::default();
    while let Some((folder, found)) = lists.next().await {
        match found {
            Ok(found) => listed.objects.extend(found.into_iter().map(|info| (info.key.clone(), info))),
            Err(e) => listed.failed.push((format!("{folder}/"), e)),
        }
    }
    listed
}
