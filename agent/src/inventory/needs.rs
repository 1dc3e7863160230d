//! Which snapshot needs which others: the only graph of it. A dump needs its filestore, a filestore the
//! indexes and packs that its list is made of, a base backup its chain.
//!
//! A whole restore needs what is in the graph, and nothing else. Whatever deletes, copies, keeps or checks
//! snapshots asks here.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::index;
use crate::archive::manifest::{Manifest, Origin};
use crate::error::{Error, Result};
use crate::names::SnapshotId;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Manifests fetched at a time.
const MANIFESTS_AT_ONCE: usize = 16;

/// What one snapshot needs itself, by place in [`Graph::names`].
#[derive(Clone, Debug, Default)]
struct Direct {
    /// A dump's filestore.
    filestore: Option<u32>,
    /// Whose indexes give the list of files; an index of its own is not here.
    indexes: Vec<u32>,
    /// Whose packs hold content.
    packs: Vec<u32>,
}

/// The believed snapshots, and what each needs. Filestores name hundreds of others, so names are numbers
/// here.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Each snapshot that is believed or needed, in order.
    names: Vec<SnapshotId>,
    /// What each of them needs; `None` of one that is not believed.
    direct: Vec<Option<Direct>>,
}

impl Graph {
    /// The graph of these manifests.
    pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Graph {
        let manifests: Vec<&Manifest> = manifests.into_iter().collect();
        let mut found: HashSet<&SnapshotId> = HashSet::new();
        for manifest in &manifests {
            found.insert(&manifest.id);
            found.extend(manifest.link().map(|link| &link.snapshot));
            let filestore = manifest.filestore();
            found.extend(filestore.iter().flat_map(|facts| facts.index_chain.iter().chain(&facts.sources)));
            found.extend(manifest.base().iter().flat_map(|facts| &facts.chain));
        }
        let mut names: Vec<&SnapshotId> = found.into_iter().collect();
        names.sort_unstable();
        let place: HashMap<&SnapshotId, u32> = names.iter().copied().zip(0..).collect();
        let places = |ids: &[SnapshotId]| ids.iter().map(|id| place[id]).collect::<Vec<u32>>();
        let mut direct = vec![None; names.len()];
        for manifest in manifests {
            let mut own =
                Direct { filestore: manifest.link().map(|link| place[&link.snapshot]), ..Direct::default() };
            if let Some(filestore) = manifest.filestore() {
                own.indexes = places(&filestore.index_chain);
                own.packs = places(&filestore.sources);
            }
            if let Some(base) = manifest.base() {
                own.packs = places(&base.chain); // each has an index of its own
            }
            direct[place[&manifest.id] as usize] = Some(own);
        }
        Graph { names: names.into_iter().cloned().collect(), direct }
    }

    fn place(&self, id: &SnapshotId) -> Option<u32> {
        self.names.binary_search(id).ok().map(|place| place as u32)
    }

    fn direct(&self, place: u32) -> Option<&Direct> {
        self.direct[place as usize].as_ref()
    }

    /// The places of all that this one needs, itself included, in order.
    fn needed(&self, place: u32) -> Vec<u32> {
        let mut needed = vec![place];
        // A dump names its filestore; that names all that it needs itself.
        let filestore = self.direct(place).and_then(|direct| direct.filestore);
        needed.extend(filestore);
        for direct in [Some(place), filestore].into_iter().flatten().filter_map(|one| self.direct(one)) {
            needed.extend(direct.indexes.iter().chain(&direct.packs));
        }
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    fn name(&self, place: u32) -> SnapshotId {
        self.names[place as usize].clone()
    }

    /// The snapshots that `id` cannot be restored without, itself included, whether they exist or not.
    pub fn needs(&self, id: &SnapshotId) -> BTreeSet<SnapshotId> {
        match self.place(id) {
            Some(place) => self.needed(place).into_iter().map(|place| self.name(place)).collect(),
            None => BTreeSet::from([id.clone()]),
        }
    }

    /// Those of them that are missing or not believed.
    pub fn lacks(&self, id: &SnapshotId) -> Vec<SnapshotId> {
        let Some(place) = self.place(id) else { return vec![id.clone()] };
        let lacked = self.needed(place).into_iter().filter(|place| self.direct(*place).is_none());
        lacked.map(|place| self.name(place)).collect()
    }

    /// The believed ones, each with its place.
    fn believed(&self) -> impl Iterator<Item = (u32, &Direct)> {
        (0..).zip(&self.direct).filter_map(|(place, direct)| Some((place, direct.as_ref()?)))
    }

    /// Believed snapshots other than `id` that need it.
    pub fn dependents(&self, id: &SnapshotId) -> BTreeSet<SnapshotId> {
        let Some(own) = self.place(id) else { return BTreeSet::new() };
        let needs = |other: u32| other != own && self.needed(other).binary_search(&own).is_ok();
        self.believed().filter(|(other, _)| needs(*other)).map(|(other, _)| self.name(other)).collect()
    }

    /// The snapshots that cannot be restored whole without object `name` of snapshot `id`, which is one of
    /// them.
    pub fn lost_with(&self, id: &SnapshotId, name: &str) -> Vec<SnapshotId> {
        let Some(own) = self.place(id) else { return vec![id.clone()] };
        let lost = |(other, direct): &(u32, &Direct)| {
            // What is a dump's own is no other's; what of a filestore is, its dump loses as well.
            let uses = direct.filestore.and_then(|filestore| self.direct(filestore)).unwrap_or(direct);
            *other == own
                || (name == index::NAME && uses.indexes.contains(&own))
                || (name.starts_with("packs/") && uses.packs.contains(&own))
        };
        let mut lost: BTreeSet<SnapshotId> =
            self.believed().filter(lost).map(|(other, _)| self.name(other)).collect();
        lost.insert(id.clone());
        lost.into_iter().collect()
    }
}

/// Adds to `known` the whole manifests of all that `of` itself needs, and its own.
///
/// # Errors
/// The error of the first that is missing, not believed or could not be read: `of` cannot be restored whole.
pub async fn fetch(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    of: &Manifest,
    known: &mut HashMap<SnapshotId, Manifest>,
) -> Result<()> {
    known.insert(of.id.clone(), of.clone());
    let needed = Graph::of([of]).needs(&of.id).into_iter().filter(|id| !known.contains_key(id));
    let needed: Vec<SnapshotId> = needed.collect();
    let found: Vec<(SnapshotId, Manifest)> = stream::iter(needed)
        .map(|id| async move {
            let found = repository.manifest(&id, origin, trust).await;
            Ok::<_, Error>((id.clone(), found.map_err(|e| cannot_without(e, of, &id))?))
        })
        .buffered(MANIFESTS_AT_ONCE)
        .try_collect()
        .await?;
    known.extend(found);
    Ok(())
}

/// What is wrong with `needed`, which `of` cannot be restored whole without.
pub fn cannot_without(e: Error, of: &Manifest, needed: &SnapshotId) -> Error {
    e.effect(format!("{} {} cannot be restored whole without it", of.kind(), of.id))
        .next("lifeboat verify; lifeboat list shows which snapshots are complete")
        .context(format!("find snapshot {needed}, which holds part of {}", of.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::made_up::{base, dump, filestore, id};

    #[test]
    fn a_dump_needs_its_filestore_and_what_that_is_made_of() {
        let first = filestore("f1", "shop", &["f1"], &["f1"]);
        let second = filestore("f2", "shop", &["f1", "f2"], &["f1", "f2"]);
        let third = filestore("f3", "shop", &["f3"], &["f1", "f3"]);
        let graph = Graph::of([&dump("d", "shop", 1, 1, Some("f2")), &first, &second, &third]);
        let ids = |names: &[&str]| names.iter().map(|name| id(name)).collect::<Vec<_>>();
        let mut needs = ids(&["d", "f1", "f2"]);
        needs.sort();
        assert_eq!(graph.needs(&id("d")).into_iter().collect::<Vec<_>>(), needs);
        assert!(graph.lacks(&id("d")).is_empty());
        // f3 has an index of its own, and content in f1
        let sorted = |mut list: Vec<SnapshotId>| {
            list.sort();
            list
        };
        assert_eq!(graph.lost_with(&id("f1"), index::NAME), sorted(ids(&["d", "f1", "f2"])));
        assert_eq!(graph.lost_with(&id("f1"), "packs/0"), sorted(ids(&["d", "f1", "f2", "f3"])));
        assert_eq!(graph.lost_with(&id("d"), "packs/0"), ids(&["d"]));
        assert_eq!(graph.dependents(&id("f1")).len(), 3);
        let gone = Graph::of([&dump("d", "shop", 1, 1, Some("f2")), &second]);
        assert_eq!(gone.lacks(&id("d")), ids(&["f1"]));
    }

    #[test]
    fn a_base_backup_needs_the_packs_of_its_chain_and_no_other_index() {
        let full = base("b1", 1, 1, &["b1"]);
        let next = base("b2", 1, 2, &["b1", "b2"]);
        let graph = Graph::of([&full, &next]);
        assert_eq!(graph.lost_with(&id("b1"), "packs/0").len(), 2);
        assert_eq!(graph.lost_with(&id("b1"), index::NAME), [id("b1")]);
        assert_eq!(Graph::of([&next]).lacks(&id("b2")), [id("b1")]);
    }
}
