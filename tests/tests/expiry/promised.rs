//! What the classes promise of the stored snapshots, by the words of docs/retention.md, from manifests and
//! times of files alone; and whether each is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

const DAY: u64 = 86_400;

/// The numbers of the one class.
#[derive(Clone, Debug)]
pub struct Class {
    pub window_days: u64,
    pub daily: u64,
    pub weekly: u64,
}

impl Class {
    pub fn text(&self) -> String {
        let Class { window_days, daily, weekly } = self;
        format!(
            "\n[class.shops]\ntenants = ['*']\n\
             window = '{window_days}d'\ndaily = {daily}\nweekly = {weekly}\nmonthly = 0\nyearly = 1\n"
        )
    }
}

/// A snapshot that is stored.
#[derive(Debug)]
pub struct Stored {
    pub id: String,
    pub kind: String,
    pub tenant: Option<String>,
    /// Seconds since 1970, by the store's clock.
    pub stored_at: u64,
    pub needs: BTreeSet<String>,
    /// Whether all its own objects are there.
    pub has_all: bool,
}

/// The snapshots with a manifest that can be read, oldest first.
pub fn stored(instance: &Path) -> BTreeMap<String, Stored> {
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(instance.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()) {
        let path = folder.join("manifest.json");
        let Ok(bytes) = fs::read(&path) else { continue };
        let Ok(manifest) = serde_json::from_slice::<Value>(&bytes) else { continue };
        let Some(id) = manifest["id"].as_str() else { continue };
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut needs = BTreeSet::new();
        let lists = [
            &manifest["filestore"]["index_chain"],
            &manifest["filestore"]["sources"],
            &manifest["base"]["chain"],
        ];
        for list in lists {
            needs.extend(
                list.as_array().into_iter().flatten().filter_map(|id| id.as_str()).map(str::to_owned),
            );
        }
        needs.extend(manifest["dump"]["filestore"]["snapshot"].as_str().map(str::to_owned));
        let objects = manifest["objects"].as_array().unwrap();
        let has = |object: &Value| {
            let size = fs::metadata(folder.join(object["name"].as_str().unwrap())).map(|of| of.len());
            size.ok() == object["bytes"].as_u64()
        };
        found.insert(
            id.to_owned(),
            Stored {
                id: id.to_owned(),
                kind: manifest["kind"].as_str().unwrap().to_owned(),
                tenant: manifest["tenant"].as_str().map(str::to_owned),
                stored_at: modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(),
                needs,
                has_all: objects.iter().all(has),
            },
        );
    }
    found
}

/// Whether a snapshot and all that it needs is there.
pub fn is_whole(all: &BTreeMap<String, Stored>, id: &str) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![id]);
    while let Some(id) = left.pop() {
        let Some(one) = all.get(id).filter(|one| one.has_all) else { return false };
        left.extend(one.needs.iter().map(String::as_str).filter(|need| seen.insert(*need)));
    }
    true
}

/// The whole snapshots that are promised at this time (seconds since 1970).
pub fn promised(
    all: &BTreeMap<String, Stored>,
    class: &Class,
    held: &[String],
    now: u64,
) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = held.iter().cloned().collect();
    for kind in ["dump", "filestore", "base", "globals"] {
        let mut group: Vec<&Stored> =
            all.values().filter(|one| one.kind == kind && is_whole(all, &one.id)).collect();
        group.sort_by_key(|one| one.stored_at);
        let from = now.saturating_sub(class.window_days * DAY);
        found.extend(group.iter().filter(|one| one.stored_at > from).map(|one| one.id.clone()));
        found.extend(group.iter().rfind(|one| one.stored_at <= from).map(|one| one.id.clone()));
        found.extend(group.last().map(|one| one.id.clone()));
        // 1 January 1970 was a Thursday.
        let week = |at: u64| (at / DAY + 3) / 7;
        let (today, this_week) = (now / DAY, week(now));
        for back in 0..class.daily {
            let first = group.iter().find(|one| one.stored_at / DAY == today - back);
            found.extend(first.map(|one| one.id.clone()));
        }
        for back in 0..class.weekly {
            let first = group.iter().find(|one| week(one.stored_at) == this_week - back);
            found.extend(first.map(|one| one.id.clone()));
        }
    }
    found.retain(|id| is_whole(all, id));
    found
}
