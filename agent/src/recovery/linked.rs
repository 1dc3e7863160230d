//! The backup of a filestore with which a restore begins, as far as it is usable. Its list says which
//! files existed. If the list is damaged, the restored rows say it instead, and files are searched for in
//! other backups.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::archive::manifest::{Manifest, Origin};
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};
use crate::inventory::plan::{list_unread, pack_gone, why};
use crate::names::{SnapshotId, counted};
use crate::recovery::filestore::List;
use crate::recovery::wanted::Wanted;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// A backup of a filestore that was checked.
#[derive(Clone)]
pub struct Linked {
    /// Its ID.
    pub id: SnapshotId,
    /// The manifests that are needed to read its list, and those of its existing packs, including its own;
    /// or why the list cannot be read.
    pub chain: std::result::Result<HashMap<SnapshotId, Manifest>, String>,
    /// Snapshots that hold files of it but are gone or not trusted.
    pub gone: Vec<String>,
}

impl Linked {
    /// Finds out which of its manifests exist.
    ///
    /// # Errors
    /// If the repository cannot be read; manifests that are gone or not trusted are part of the result.
    pub async fn look(
        repository: &Repository,
        origin: &Origin,
        trust: &Trust,
        id: &SnapshotId,
    ) -> Result<Linked> {
        let mut linked = Linked { id: id.clone(), chain: Ok(HashMap::new()), gone: Vec::new() };
        let own = match repository.manifest(id, origin, trust).await.and_then(|own| {
            own.filestore_facts()?;
            Ok(own)
        }) {
            Ok(own) => own,
            Err(e) if e.is_damage() => {
                linked.chain = Err(why(id, &e));
                return Ok(linked);
            }
            Err(e) => return Err(e.context(format!("find the filestore {id}"))),
        };
        let facts = own.filestore_facts()?.clone();
        let mut manifests = HashMap::from([(id.clone(), own)]);
        for needed in facts.index_chain.iter().chain(&facts.sources) {
            if manifests.contains_key(needed) {
                continue;
            }
            match repository.manifest(needed, origin, trust).await {
                Ok(manifest) => drop(manifests.insert(needed.clone(), manifest)),
                Err(e) if e.is_damage() && facts.index_chain.contains(needed) => {
                    linked.chain = Err(why(needed, &e));
                    return Ok(linked);
                }
                Err(e) if e.is_damage() => linked.gone.push(why(needed, &e)),
                Err(e) => return Err(e.context(format!("find snapshot {needed}, which holds part of {id}"))),
            }
        }
        linked.chain = Ok(manifests);
        Ok(linked)
    }

    /// Its own manifest, if it exists.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.chain.as_ref().ok()?.get(&self.id)
    }

    /// Warnings about it before anything is fetched.
    pub fn warnings(&self) -> Vec<String> {
        let unread = self.chain.as_ref().err().map(|why| list_unread(&self.id, why));
        let gone = self.gone.iter().map(|why| pack_gone(&self.id, why));
        unread.into_iter().chain(gone).collect()
    }

    /// Stored bytes of everything that it needs.
    pub fn stored_bytes(&self) -> u64 {
        self.chain.iter().flatten().map(|(_, manifest)| manifest.stored_bytes()).sum()
    }

    /// Its list of files; or why that cannot be read.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub(super) async fn list(
        &self,
        repository: &Repository,
        identities: &Arc<Identities>,
    ) -> Result<std::result::Result<List, String>> {
        let manifests = match &self.chain {
            Ok(manifests) => manifests.clone(),
            Err(why) => return Ok(Err(why.clone())),
        };
        let (repository, identities, id) = (repository.clone(), identities.clone(), self.id.clone());
        let read = move || {
            let own = manifests.get(&id).ok_or_else(|| {
                Error::new(Kind::Integrity, format!("snapshot {id} does not name itself in its chain"))
            })?;
            let facts = own.filestore_facts()?;
            let wanted = Wanted::filestore(&repository, &Handle::current(), facts, &manifests, &identities)?;
            if wanted.files().len() as u64 != facts.files || wanted.bytes != facts.bytes {
                let (count, said) = (counted(wanted.files().len(), "file"), facts.files);
                let what = format!("the indexes of {id} list {count}, but its manifest says {said}");
                return Err(Error::new(Kind::Integrity, what));
            }
            Ok(List { wanted, manifests })
        };
        let panicked = |e| Err(Error::new(Kind::Internal, "reading an index panicked").because(e));
        match tokio::task::spawn_blocking(read).await.unwrap_or_else(panicked) {
            Ok(list) => Ok(Ok(list)),
            Err(e) if e.is_damage() => Ok(Err(e.line())),
            Err(e) => Err(e),
        }
    }
}
