//! The files of a restore from a dump: those that the backup of its filestore lists, and then whatever else its rows
//! name, from wherever it is whole.

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
    /// What other backups hold of the files that this one is known to lack.
    found: Found,
    search: Search,
}

impl DumpFiles {
    /// Looks what is there, also for the files that the backup is known to lack, so that the plan can say which are in
    /// no backup.
    ///
    /// # Errors
    /// Where it could not be looked.
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

    /// What is in no backup, as far as this one named what it lacks.
    pub(super) fn missing(&self) -> Vec<MissingFile> {
        let is_missing =
            |file: &&MissingFile| self.found.missing.contains(&escape(file.store_fname.as_bytes()));
        self.link.missing_named().filter(is_missing).cloned().collect()
    }

    /// What a person should know before anything is fetched.
    pub(super) fn warnings(&self) -> Vec<String> {
        [self.linked.warnings(), self.found.warnings.clone()].concat()
    }

    /// What is to be fetched first; or why the list cannot be read.
    ///
    /// # Errors
    /// Where it could not be looked.
    pub(super) async fn list(
        &self,
        repository: &Repository,
        identities: &Arc<Identities>,
    ) -> Result<std::result::Result<List, String>> {
        let mut list = match self.linked.list(repository, identities).await? {
            Ok(list) => list,
            Err(why) => return Ok(Err(why)),
        };
        // What was damaged already where it came from is whole elsewhere: that copy counts.
        list.wanted = Wanted::union(&[self.found.wanted.clone(), list.wanted])?;
        list.manifests.extend(self.found.manifests.clone());
        Ok(Ok(list))
    }

    /// Where files are looked for that do not come whole.
    pub(super) fn search(&self) -> &Search {
        &self.search
    }
}
