//! What the kernel tells, in words of filestores: which directory is whose, and what came there.

use std::collections::HashMap;
use std::sync::Arc;

use super::tree::{Name, Tree, WatchedDir, blob_in, is_shard};
use crate::disk::watch::{Added, Adder, Event, Watcher};
use crate::error::Result;
use crate::names::TenantName;

/// Events of directories that a scan has begun to watch, until it says which these are.
const UNPLACED_MAX: usize = 10_000;

/// What an event means.
pub enum Heard {
    /// Nothing to us, or not yet.
    Nothing,
    /// This file was closed after writing, or has its name now.
    Written(Name),
    /// These lay in a folder that came.
    Came(Vec<Name>),
    /// Something for a scan.
    Anything,
    /// More than could be told.
    TooMuch,
    /// A tenant's directory went, or has another name now.
    Went(String),
}

/// The watched directories.
pub struct Watching {
    watcher: Watcher,
    places: HashMap<i32, WatchedDir>,
    unplaced: Vec<Event>,
}

impl Watching {
    /// None yet.
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

    /// A scan says what it has watched; the events that came before it did.
    pub fn placed(&mut self, places: HashMap<i32, WatchedDir>) -> Vec<Event> {
        self.places.extend(places);
        std::mem::take(&mut self.unplaced)
    }

    /// What an event means. `scanning`: a scan may be adding watches. It may look into a directory.
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
                false => {} // of a directory that is forgotten
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

    /// Watches it, and then looks what is in it already.
    fn folder_came(&mut self, tree: &Tree, tenant: &Arc<TenantName>, shard: String) -> Heard {
        let dir = match tree.open_dir(tenant, &shard) {
            Ok(Some(dir)) => dir,
            Ok(None) => return Heard::Nothing,
            Err(_) => return Heard::Anything, // the scan tells of it
        };
        match self.watcher.adder().add(&dir) {
            Ok(Added::Watched(number)) => {
                self.places.insert(number, WatchedDir::Shard(tenant.clone(), shard.clone()));
            }
            Ok(Added::LimitReached) | Err(_) => return Heard::Anything, // the scan tells of it
        }
        tree.files(tenant, &shard).map_or(Heard::Anything, Heard::Came)
    }

    /// Its watches would tell the wrong name.
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
