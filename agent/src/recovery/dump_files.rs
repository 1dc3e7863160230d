//! The files of a restore from a dump: those that the backup of its filestore lists, then all other files
//! that its rows name, from any backup that holds them intact.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::manifest::{FilestoreLink, Manifest, MissingFile, Origin};
use crate::archive::path::escape;
use crate::archive::seal::Identities;
use crate::error::Result;
use crate::names::TenantName;
use crate::recovery::filestore::List;
use crate::recovery::find_files::{Found, Search, Tried};
use crate::recovery::linked::Linked;
use crate::recovery::place::{FilestorePlan, filestore_plan};
use crate::recovery::wanted::Wanted;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Where they come from.
pub(super) struct DumpFiles {
    pub(super) linked: Linked,
    link: FilestoreLink,
    /// Files that this backup is known to lack and other backups hold.
    found: Found,
    search: Search,
}

impl DumpFiles {
    /// Finds out what is stored, also for files that the backup is known to lack, so that the plan can say
    /// which are in no backup.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub(super) async fn look(
        repository: &Repository,
        origin: &Origin,
        trust: &Trust,
        (dump, link, files_of): (&Manifest, &FilestoreLink, &[TenantName]),
        identities: &Arc<Identities>,
    ) -> Result<DumpFiles> {
        let linked = Linked::look(repository, origin, trust, &link.snapshot).await?;
        let whose: BTreeSet<TenantName> = dump.tenant.iter().chain(files_of).cloned().collect();
        let search = Search::new(repository, origin, trust, identities, whose, dump.point);
        let names = link.missing_named().map(|file| escape(file.store_fname.as_bytes())).collect();
        let found = search.find(names, &Tried::new()).await?;
        Ok(DumpFiles { linked, link: link.clone(), found, search })
    }

    /// Where they go.
    pub(super) fn plan(
        &self,
        data_dir: &Path,
        target: &TenantName,
        incomplete: (bool, PathBuf),
    ) -> Result<FilestorePlan> {
        let facts = self.linked.manifest().and_then(|manifest| manifest.filestore());
        let held = (self.linked.id.clone(), facts.map_or(0, |f| f.files), facts.map_or(0, |f| f.bytes));
        let from_elsewhere = self.found.wanted.files().len() as u64;
        let missing = self.link.missing_count().saturating_sub(from_elsewhere);
        let plan = filestore_plan(held, missing, data_dir, target, incomplete)?;
        Ok(FilestorePlan { from_elsewhere, ..plan })
    }

    /// Files that are in no backup, as far as this backup lists what it lacks.
    pub(super) fn missing(&self) -> Vec<MissingFile> {
        let is_missing =
            |file: &&MissingFile| self.found.missing.contains(&escape(file.store_fname.as_bytes()));
        self.link.missing_named().filter(is_missing).cloned().collect()
    }

    /// Warnings before anything is fetched.
    pub(super) fn warnings(&self) -> Vec<String> {
        [self.linked.warnings(), self.found.warnings.clone()].concat()
    }

    /// What is fetched first; or why the list cannot be read.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub(super) async fn list(
        &self,
        repository: &Repository,
        identities: &Arc<Identities>,
    ) -> Result<std::result::Result<List, String>> {
        let mut list = match self.linked.list(repository, identities).await? {
            Ok(list) => list,
            Err(why) => return Ok(Err(why)),
        };
        // A file that was already damaged at its source may be intact in another backup: use that one.
        list.wanted = Wanted::union(&[self.found.wanted.clone(), list.wanted])?;
        list.manifests.extend(self.found.manifests.clone());
        Ok(Ok(list))
    }

    /// Where files are searched for if they are damaged or missing here.
    pub(super) fn search(&self) -> &Search {
        &self.search
    }
}
