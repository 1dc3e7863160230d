//! Translates the kernel's events: which directory belongs to which tenant, and which file arrived.

use std::collections::HashMap;
use std::sync::Arc;

use super::tree::{Name, Tree, WatchedDir, blob_in, is_shard};
use crate::disk::watch::{Added, Adder, Event, Watcher};
use crate::error::Result;
use crate::names::TenantName;

/// Events of directories that a scan has just begun to watch, kept until the scan says which these are.
const UNPLACED_MAX: usize = 10_000;

/// What an event means.
pub enum Change {
    /// Nothing that matters, or not yet.
    Nothing,
    /// This file was closed after writing, or was renamed to this name.
    Written(Name),
    /// These files were in a folder that appeared.
    FolderCreated(Vec<Name>),
    /// Something that needs a scan.
    Unclear,
    /// The kernel dropped events.
    Overflow,
    /// A tenant's directory was removed or renamed.
    TenantRemoved(String),
}

/// The watched directories.
pub struct Watching {
    watcher: Watcher,
    places: HashMap<i32, WatchedDir>,
    unplaced: Vec<Event>,
}

impl Watching {
    /// No directory yet.
    pub fn new() -> Result<Watching> {
        Ok(Watching { watcher: Watcher::new()?, places: HashMap::new(), unplaced: Vec::new() })
    }

    /// What a scan watches with.
    pub fn adder(&self) -> Adder {
        self.watcher.adder().clone()
    }

    /// See [`Watcher::events`].
    pub async fn events(&mut self) -> Result<Vec<Event>> {
        self.watcher.events().await
    }

    /// Takes the directories that a scan has watched; returns the events that arrived before.
    pub fn placed(&mut self, places: HashMap<i32, WatchedDir>) -> Vec<Event> {
        self.places.extend(places);
        std::mem::take(&mut self.unplaced)
    }

    /// What an event means. `scanning`: a scan may be adding watches. This may read a directory.
    pub fn hear(&mut self, event: Event, scanning: bool, tree: &Tree) -> Change {
        let number = match &event {
            Event::Overflow => return Change::Overflow,
            Event::File(number, _)
            | Event::DirCreated(number, _)
            | Event::DirRemoved(number, _)
            | Event::Unwatched(number) => *number,
        };
        let Some(place) = self.places.get(&number).cloned() else {
            match scanning {
                true if self.unplaced.len() >= UNPLACED_MAX => return Change::Unclear,
                true => self.unplaced.push(event),
                false => {} // an event of a directory that is no longer watched
            }
            return Change::Nothing;
        };
        match (place, event) {
            (WatchedDir::Shard(tenant, shard), Event::File(_, name)) => {
                blob_in(&tenant, &shard, &name).map_or(Change::Nothing, Change::Written)
            }
            (WatchedDir::Tenant(tenant), Event::DirCreated(_, name)) if is_shard(&name) => {
                self.folder_came(tree, &tenant, name)
            }
            (WatchedDir::Root, Event::DirCreated(_, name)) if tree.tenant(&name).is_some() => Change::Unclear,
            (WatchedDir::Root, Event::DirRemoved(_, name)) => {
                self.forget(&name);
                Change::TenantRemoved(name)
            }
            (_, Event::Unwatched(number)) => {
                self.places.remove(&number);
                Change::Nothing
            }
            _ => Change::Nothing,
        }
    }

    /// Watches it, and then lists what is already in it.
    fn folder_came(&mut self, tree: &Tree, tenant: &Arc<TenantName>, shard: String) -> Change {
        let dir = match tree.open_dir(tenant, &shard) {
            Ok(Some(dir)) => dir,
            Ok(None) => return Change::Nothing,
            Err(_) => return Change::Unclear, // the scan reports it
        };
        match self.watcher.adder().add(&dir) {
            Ok(Added::Watched(number)) => {
                self.places.insert(number, WatchedDir::Shard(tenant.clone(), shard.clone()));
            }
            Ok(Added::LimitReached) | Err(_) => return Change::Unclear, // the scan reports it
        }
        tree.files(tenant, &shard).map_or(Change::Unclear, Change::FolderCreated)
    }

    /// Its watches would report the wrong name.
    fn forget(&mut self, tenant: &str) {
        let adder = self.adder();
        self.places.retain(|number, place| {
            let stays = match place {
                WatchedDir::Root => true,
                WatchedDir::Tenant(of) | WatchedDir::Shard(of, _) => of.as_str() != tenant,
            };
            if !stays {
                adder.remove(*number);
            }
            stays
        });
    }
}
