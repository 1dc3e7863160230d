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
pub enum Heard {
    /// Nothing that matters, or not yet.
    Nothing,
    /// This file was closed after writing, or was renamed to this name.
    Written(Name),
    /// These files were in a folder that appeared.
    Came(Vec<Name>),
    /// Something that needs a scan.
    Anything,
    /// The kernel dropped events.
    TooMuch,
    /// A tenant's directory was removed or renamed.
    Went(String),
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
    pub fn hear(&mut self, event: Event, scanning: bool, tree: &Tree) -> Heard {
        let number = match &event {
            Event::Overflow => return Heard::TooMuch,
            Event::File(number, _)
            | Event::DirCame(number, _)
            | Event::DirWent(number, _)
            | Event::Unwatched(number) => *number,
        };
        let Some(place) = self.places.get(&number).cloned() else {
            match scanning {
                true if self.unplaced.len() >= UNPLACED_MAX => return Heard::Anything,
                true => self.unplaced.push(event),
                false => {} // an event of a directory that is no longer watched
            }
            return Heard::Nothing;
        };
        match (place, event) {
            (WatchedDir::Shard(tenant, shard), Event::File(_, name)) => {
                blob_in(&tenant, &shard, &name).map_or(Heard::Nothing, Heard::Written)
            }
            (WatchedDir::Tenant(tenant), Event::DirCame(_, name)) if is_shard(&name) => {
                self.folder_came(tree, &tenant, name)
            }
            (WatchedDir::Root, Event::DirCame(_, name)) if tree.tenant(&name).is_some() => Heard::Anything,
            (WatchedDir::Root, Event::DirWent(_, name)) => {
                self.forget(&name);
                Heard::Went(name)
            }
            (_, Event::Unwatched(number)) => {
                self.places.remove(&number);
                Heard::Nothing
            }
            _ => Heard::Nothing,
        }
    }

    /// Watches it, and then lists what is already in it.
    fn folder_came(&mut self, tree: &Tree, tenant: &Arc<TenantName>, shard: String) -> Heard {
        let dir = match tree.open_dir(tenant, &shard) {
            Ok(Some(dir)) => dir,
            Ok(None) => return Heard::Nothing,
            Err(_) => return Heard::Anything, // the scan reports it
        };
        match self.watcher.adder().add(&dir) {
            Ok(Added::Watched(number)) => {
                self.places.insert(number, WatchedDir::Shard(tenant.clone(), shard.clone()));
            }
            Ok(Added::LimitReached) | Err(_) => return Heard::Anything, // the scan reports it
        }
        tree.files(tenant, &shard).map_or(Heard::Anything, Heard::Came)
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
