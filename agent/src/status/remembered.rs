//! The snapshots that checks of this host found damaged, and the others that cannot be restored because of
//! them.

use std::collections::BTreeSet;

use crate::catalog::verified::Verified;
use crate::config::Config;
use crate::inventory::needs::Graph;
use crate::inventory::{Inventory, Snapshot};
use crate::names::SnapshotId;

/// What the checks of this host have found in `repository`, its ID; if that cannot be read, it is empty and
/// the sentence says why. Empty also for a repository that is read as it was: what is damaged now may have
/// been whole then.
pub fn recall(config: &Config, repository: &str) -> (Verified, Option<String>) {
    if config.repository.as_of.is_some() {
        return (Verified::default(), None);
    }
    match Verified::read(&config.state_dir, &config.instance, repository) {
        Ok(verified) => (verified, None),
        Err(e) => (Verified::default(), Some(format!("{}; lifeboat verify finds it again", e.what()))),
    }
}

/// The snapshots that cannot be restored whole, as far as remembered: they were found broken, or they need
/// one whose own objects were.
pub fn broken<'a>(inventory: &'a Inventory, verified: &Verified) -> BTreeSet<&'a SnapshotId> {
    if verified.broken.is_empty() {
        return BTreeSet::new();
    }
    let graph = Graph::of(inventory.believed().map(|one| &one.manifest));
    let own = |id: &SnapshotId| verified.broken.get(id).filter(|broken| broken.own);
    let is_broken = |one: &&Snapshot| {
        let id = &one.manifest.id;
        verified.broken.contains_key(id)
            // What the check saw itself it has judged: only what came since is in doubt.
            || graph.needs(id).iter().filter_map(own).any(|broken| one.stored_at > broken.seen)
    };
    inventory.believed().filter(is_broken).map(|one| &one.manifest.id).collect()
}
