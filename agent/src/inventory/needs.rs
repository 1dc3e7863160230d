//! Which snapshot needs which others: the only graph of it. A dump needs its filestore, a filestore the
//! indexes and packs that its list is made of, a base backup its chain.
//!
//! A whole restore needs what is in the graph, and nothing else. Whatever deletes, copies, keeps or checks
//! snapshots asks here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::index;
use crate::archive::manifest::{Manifest, Origin};
use crate::error::{Error, Result};
use crate::names::SnapshotId;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Manifests fetched at a time.
const MANIFESTS_AT_ONCE: usize = 16;

/// What one snapshot needs itself.
#[derive(Clone, Debug, Default)]
struct Direct {
    /// A dump's filestore.
    filestore: Option<SnapshotId>,
    /// Whose indexes give the list of files; an index of its own is not here.
    indexes: Vec<SnapshotId>,
    /// Whose packs hold content.
    packs: Vec<SnapshotId>,
}

/// The believed snapshots, and what each needs.
#[derive(Clone, Debug, Default)]
pub struct Graph(BTreeMap<SnapshotId, Direct>);

impl Graph {
    /// The graph of these manifests.
    pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Graph {
        let mut graph = Graph::default();
        for manifest in manifests {
            let link = manifest.link();
            let mut direct =
                Direct { filestore: link.map(|link| link.snapshot.clone()), ..Direct::default() };
            if let Some(filestore) = manifest.filestore() {
                direct.indexes = filestore.index_chain.clone();
                direct.packs = filestore.sources.clone();
            }
            if let Some(base) = manifest.base() {
                direct.packs = base.chain.clone(); // each has an index of its own
            }
            graph.0.insert(manifest.id.clone(), direct);
        }
        graph
    }

    /// The snapshots that `id` cannot be restored without, itself included, whether they exist or not.
    pub fn needs(&self, id: &SnapshotId) -> BTreeSet<SnapshotId> {
        let mut needs = BTreeSet::from([id.clone()]);
        // A dump names its filestore; that names all that it needs itself.
        let filestore = self.0.get(id).and_then(|direct| direct.filestore.as_ref());
        needs.extend(filestore.cloned());
        for one in [Some(id), filestore].into_iter().flatten() {
            let direct = self.0.get(one);
            needs.extend(
                direct.into_iter().flat_map(|direct| direct.indexes.iter().chain(&direct.packs)).cloned(),
            );
        }
        needs
    }

    /// Those of them that are missing or not believed.
    pub fn lacks(&self, id: &SnapshotId) -> Vec<SnapshotId> {
        self.needs(id).into_iter().filter(|needed| !self.0.contains_key(needed)).collect()
    }

    /// Believed snapshots other than `id` that need it.
    pub fn dependents(&self, id: &SnapshotId) -> BTreeSet<SnapshotId> {
        let needs = |other: &&SnapshotId| *other != id && self.needs(other).contains(id);
        self.0.keys().filter(needs).cloned().collect()
    }

    /// The snapshots that cannot be restored whole without object `name` of snapshot `id`, which is one of
    /// them.
    pub fn lost_with(&self, id: &SnapshotId, name: &str) -> Vec<SnapshotId> {
        let lost = |(other, direct): &(&SnapshotId, &Direct)| {
            // What is a dump's own is no other's; what of a filestore is, its dump loses as well.
            let files = direct.filestore.as_ref().and_then(|filestore| self.0.get(filestore));
            let uses = files.unwrap_or(direct);
            *other == id
                || (name == index::NAME && uses.indexes.contains(id))
                || (name.starts_with("packs/") && uses.packs.contains(id))
        };
        let mut lost: BTreeSet<SnapshotId> =
            self.0.iter().filter(lost).map(|(other, _)| other.clone()).collect();
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
