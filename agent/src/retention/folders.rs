//! Reads the folders of an instance object by object: which belong to a snapshot without a manifest, and
//! which to nothing at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::TryStreamExt;

use super::garbage::{Garbage, Piece, Sort};
use super::stock::Batch;
use crate::archive::manifest::{self, SnapshotKind};
use crate::archive::{base, index};
use crate::clock::{Timestamp, later};
use crate::config::Expire;
use crate::error::Result;
use crate::inventory::{Inventory, Look, Snapshot};
use crate::names::SnapshotId;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::store::ObjectInfo;

/// Where `lifeboat init` and `lifeboat doctor` test the store, and the beginning of these names.
const PROBES: [&str; 2] = ["probe", "probes"];
const PROBE: &str = "/probe-";

/// What lies in the folder of a snapshot.
#[derive(Default)]
pub struct Folder {
    /// When its newest object was stored.
    pub newest: Option<Timestamp>,
    /// When its manifest was stored.
    manifest: Option<Timestamp>,
    bytes: u64,
    /// Size of all but the manifest and its signature.
    content: u64,
    /// Whether an object is empty: none of ours is.
    has_empty: bool,
}

impl Folder {
    fn add(&mut self, name: &str, info: &ObjectInfo) {
        self.newest = self.newest.max(Some(info.modified));
        self.bytes += info.bytes;
        self.has_empty |= info.bytes == 0;
        match name {
            manifest::NAME => self.manifest = Some(info.modified),
            manifest::SIGNATURE_NAME => {}
            _ => self.content += info.bytes,
        }
    }
}

/// All folders below `folder`; an object in none of them is foreign.
///
/// # Errors
/// Those of the store.
pub async fn list(
    repository: &Repository,
    folder: &str,
    garbage: &mut Garbage,
) -> Result<BTreeMap<SnapshotId, Folder>> {
    let mut found: BTreeMap<SnapshotId, Folder> = BTreeMap::new();
    let mut listed = repository.store().list(folder);
    while let Some(info) = listed.try_next().await? {
        let of = |id: SnapshotId| {
            let name = info.key.strip_prefix(&layout::snapshot(repository.instance(), &id))?;
            Some((id, name.strip_prefix('/')?.to_owned()))
        };
        let mut ids = info.key.split('/').filter_map(|part| part.parse().ok());
        match ids.find_map(of).filter(|_| info.odd.is_none()) {
            Some((id, name)) => found.entry(id).or_default().add(&name, &info),
            None => garbage.add_foreign(info.key),
        }
    }
    Ok(found)
}

/// The batches among these folders, oldest first, and those without a manifest.
pub fn batches(folders: &BTreeMap<SnapshotId, Folder>) -> (Vec<Batch>, Vec<(SnapshotId, Option<Timestamp>)>) {
    let (mut batches, mut unfinished) = (Vec::new(), Vec::new());
    for (id, folder) in folders.iter().filter(|(id, _)| id.kind() == SnapshotKind::Arrivals.as_str()) {
        match folder.manifest {
            Some(stored_at) => batches.push(Batch { id: id.clone(), stored_at, bytes: folder.bytes }),
            None => unfinished.push((id.clone(), folder.newest)),
        }
    }
    batches.sort_by(|a, b| (a.stored_at, &a.id).cmp(&(b.stored_at, &b.id)));
    (batches, unfinished)
}

/// The snapshots without a manifest, each with the time of its newest object, where it has one.
pub fn unfinished(
    folders: &BTreeMap<SnapshotId, Folder>,
    inventory: &Inventory,
) -> Vec<(SnapshotId, Option<Timestamp>)> {
    let without = inventory.snapshots.iter().filter(|(_, look)| matches!(look, Look::Unfinished));
    without.map(|(id, _)| (id.clone(), folders.get(id).and_then(|folder| folder.newest))).collect()
}

/// The objects in folders of believed snapshots that their manifests do not name. A manifest is stored after
/// all that it names, so nothing that it could still name is missed.
///
/// # Errors
/// Those of the store.
pub async fn parts(
    repository: &Repository,
    trust: &Trust,
    inventory: &Inventory,
    folders: &BTreeMap<SnapshotId, Folder>,
    (expire, garbage): (&Expire, &mut Garbage),
) -> Result<()> {
    let origin = repository.origin().await?;
    let believed: HashMap<&SnapshotId, &Snapshot> =
        inventory.believed().map(|one| (&one.manifest.id, one)).collect();
    for (id, folder) in folders {
        let Some(snapshot) = believed.get(id) else { continue };
        if folder.content == snapshot.stored_bytes && !folder.has_empty {
            continue;
        }
        let manifest = repository.manifest(id, &origin, trust).await?;
        let mut named: BTreeSet<&str> = manifest.objects.iter().map(|object| object.name.as_str()).collect();
        named.extend([manifest::NAME, manifest::SIGNATURE_NAME]);
        let own = layout::snapshot(repository.instance(), id);
        let mut listed = repository.store().list(&own);
        while let Some(info) = listed.try_next().await? {
            let name = info.key.strip_prefix(&own).and_then(|name| name.strip_prefix('/'));
            match name.filter(|name| !named.contains(name)) {
                Some(name) if is_ours(name) => {
                    garbage.add(object(Sort::Part, &info, later(info.modified, expire.grace)));
                }
                Some(_) => garbage.add_foreign(info.key),
                None => {}
            }
        }
    }
    Ok(())
}

/// What remained of tests of the store.
///
/// # Errors
/// Those of the store.
pub async fn probes(repository: &Repository, expire: &Expire, garbage: &mut Garbage) -> Result<()> {
    for folder in PROBES {
        let mut listed = repository.store().list(folder);
        while let Some(info) = listed.try_next().await? {
            match info.odd.is_none() && info.key.starts_with(&format!("{folder}{PROBE}")) {
                true => garbage.add(object(Sort::Probe, &info, later(info.modified, expire.grace))),
                false => garbage.add_foreign(info.key),
            }
        }
    }
    Ok(())
}

fn object(sort: Sort, info: &ObjectInfo, over: Timestamp) -> Piece {
    let (stored_at, bytes) = (info.modified, info.bytes);
    Piece { sort, name: info.key.clone(), keys: vec![info.key.clone()], stored_at, bytes, over }
}

/// Whether Lifeboat writes objects of this name into the folders of snapshots.
fn is_ours(name: &str) -> bool {
    let number = name.strip_prefix("packs/").and_then(|name| name.strip_suffix(".tar.zst.age"));
    [index::NAME, base::LAYOUT_NAME, manifest::BASELINE].contains(&name)
        || number.is_some_and(|number| number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit()))
}
