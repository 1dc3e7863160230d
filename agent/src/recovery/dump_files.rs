//! The files of a restore from a dump: those that the backup of its filestore lists, and then whatever else its rows
//! name, from wherever it is whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{FilestoreLink, Manifest, MissingFile, Origin};
use crate::archive::path::escape;
use crate::archive::seal::Identities;
use crate::error::{Kind, Result};
use crate::names::TenantName;
use crate::postgres::look;
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::recovery::filestore::{List, Staged, Staging};
use crate::recovery::find_files::{Found, Search, Tried};
use crate::recovery::linked::Linked;
use crate::recovery::named_files::{NamedFile, named_files};
use crate::recovery::place::{FilestorePlan, filestore_plan};
use crate::recovery::plan::Prepared;
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
        (dump, link): (&Manifest, &FilestoreLink),
        identities: &Arc<Identities>,
    ) -> Result<DumpFiles> {
        let linked = Linked::look(repository, origin, trust, &link.snapshot).await?;
        let whose: BTreeSet<TenantName> = dump.tenant.iter().cloned().collect();
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
        let facts = self.linked.manifest().and_then(|manifest| manifest.filestore.as_ref());
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

    fn staging<'a>(
        &'a self,
        prepared: &'a Prepared,
        plan: &'a FilestorePlan,
        progress: &'a Progress,
        cancel: &'a CancellationToken,
    ) -> Staging<'a> {
        Staging {
            plan,
            data_dir: &plan.data_dir,
            repository: &prepared.repository,
            identities: &prepared.identities,
            search: &self.search,
            allow_missing: prepared.request.allow_missing_files,
            workers: prepared.workers,
            progress,
            cancel,
        }
    }
}

/// Fetches everything that is listed into the staging directory, checks it, makes it durable; nothing where no files
/// are restored.
///
/// # Errors
/// See [`Staging::run`].
pub(super) async fn stage(
    prepared: &Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Option<Staged>> {
    let Some((files, plan)) = prepared.files.as_ref().zip(prepared.plan.filestore.as_ref()) else {
        return Ok(None);
    };
    let list = files.list(&prepared.repository, &prepared.identities).await?;
    files.staging(prepared, plan, progress, cancel).run(list).await.map(Some)
}

/// Fetches what the rows of the restored database name beyond that. What is missing now is missing for good.
///
/// # Errors
/// See [`Staging::run`].
pub(super) async fn complete(
    prepared: &Prepared,
    staged: &mut Staged,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<()> {
    let Some((files, plan)) = prepared.files.as_ref().zip(prepared.plan.filestore.as_ref()) else {
        return Ok(());
    };
    progress.stage(format!("{}: files that its rows name", prepared.plan.database));
    match named(prepared).await {
        Ok(names) => files.staging(prepared, plan, progress, cancel).complete(names, staged).await?,
        Err(e) if staged.unread.is_none() && matches!(e.kind(), Kind::Denied | Kind::Postgres) => {
            files.staging(prepared, plan, progress, cancel).check(staged)?;
            staged.told.push(format!(
                "the files that the restored rows name could not be asked for ({}): those of its backup's list are there",
                e.line()
            ));
        }
        Err(e) => return Err(e),
    }
    // Why, as the backup knew it; and what it stored although it was damaged already.
    let known = files.missing();
    for file in &mut staged.never_held {
        if let Some(known) = known.iter().find(|known| known.store_fname == file.store_fname) {
            file.clone_from(known);
        }
    }
    let told =
        |file: &&MissingFile| !staged.never_held.iter().any(|told| told.store_fname == file.store_fname);
    let damaged: Vec<MissingFile> = known.iter().filter(told).cloned().collect();
    staged.never_held.extend(damaged);
    Ok(())
}

async fn named(prepared: &Prepared) -> Result<Vec<NamedFile>> {
    let mut session = Session::connect(&prepared.postgres, &prepared.plan.incomplete_database).await?;
    look::begin(&mut session).await?;
    let named = named_files(&mut session, &prepared.work).await?;
    look::end(&mut session).await?;
    session.close().await;
    Ok(named.files)
}
