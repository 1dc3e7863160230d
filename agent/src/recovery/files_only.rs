//! Restores a filestore without its database, into a new directory with the name of the database for which
//! it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::elsewhere::{self, Elsewhere};
use crate::archive::manifest::{MissingFile, SnapshotKind};
use crate::archive::seal::Identities;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName, bytes_text, counted};
use crate::progress::Progress;
use crate::recovery::choose::{Chosen, choose};
use crate::recovery::dump_files::DumpFiles;
use crate::recovery::filestore::Staging;
use crate::recovery::find_files::Search;
use crate::recovery::lines::files_lines;
use crate::recovery::linked::Linked;
use crate::recovery::place::{FilestorePlan, default_target, filestore_plan};
use crate::recovery::stopwatch::{Stage, Stopwatch};
use crate::recovery::timing::{Estimate, Way, Work};
use crate::recovery::workplace::{Workplace, workplace};
use crate::recovery::{Pick, file_owner, staging};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// What to restore.
pub struct FilesRequest {
    /// Whose.
    pub tenant: TenantName,
    /// Which one: the filestore of a dump, or a backup of the filestore.
    pub pick: Pick,
    /// The database that the files are for; if `None`, a name made of the tenant's name and the backup's
    /// time.
    pub target: Option<TenantName>,
    /// Odoo's data directory; the configured one if `None`.
    pub data_dir: Option<PathBuf>,
    /// Publish although some files are intact in no backup.
    pub allow_missing_files: bool,
    /// Other tenants whose backups may also provide files: those that this one was copied from, as the
    /// user says.
    pub files_of: Vec<TenantName>,
    /// Whose manifests are trusted.
    pub trust: Trust,
}

/// What will be done; `Display` gives the text that a person confirms.
#[derive(Clone, Debug, Serialize)]
pub struct FilesPlan {
    /// Whose.
    pub tenant: TenantName,
    /// The repository.
    pub repository: String,
    /// The backup of the filestore.
    pub snapshot: SnapshotId,
    /// The dump that it belongs to, if one was named.
    pub dump: Option<SnapshotId>,
    /// When its walk began (UTC).
    pub point: Timestamp,
    /// The database that the files are for.
    pub database: TenantName,
    /// The new directory.
    pub filestore: FilestorePlan,
    /// The most bytes that are fetched from the repository.
    pub fetch_bytes: u64,
    /// Free bytes at the target.
    pub free_bytes: u64,
    /// How long it will take.
    pub estimate: Estimate,
    /// Whether it is published, as requested, although some files are intact in no backup.
    pub allow_missing_files: bool,
    /// The first files that are missing in this backup and in every other one.
    pub missing: Vec<MissingFile>,
    /// Attachments of the dump that are in other storages.
    pub elsewhere: Vec<Elsewhere>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct FilesRestored {
    /// The plan that was applied.
    pub plan: FilesPlan,
    /// Files that are restored.
    pub files: u64,
    /// Their sizes added up.
    pub file_bytes: u64,
    /// Missing files, each with the reason.
    pub missing_files: Vec<MissingFile>,
    /// How many of these the backup had, but are lost now; a flag allows this.
    pub lost_files: u64,
    /// Stages in the order in which they ended.
    pub stages: Vec<Stage>,
    /// All of it.
    pub seconds: f64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A plan, and everything that was found out for it.
pub struct Prepared {
    /// The plan.
    pub plan: FilesPlan,
    repository: Repository,
    identities: Arc<Identities>,
    source: Source,
    work: Workplace,
    workers: usize,
}

enum Source {
    /// The filestore of a dump; the dump lists missing files.
    OfDump(Box<DumpFiles>),
    /// A backup of the filestore only.
    Alone(Box<Linked>, Box<Search>),
}

/// Finds the backup and checks the target; changes nothing.
///
/// # Errors
/// `Refused` if the directory is not empty, `NoSpace`; those of the repository.
pub async fn prepare(config: &Config, request: FilesRequest, identities: Identities) -> Result<Prepared> {
    let identities = Arc::new(identities);
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let (tenant, trust) = (&request.tenant, &request.trust);
    let kind = match &request.pick {
        Pick::Release(_) => SnapshotKind::Dump,
        _ => SnapshotKind::Filestore,
    };
    let Chosen { manifest, warnings } =
        choose(&repository, &origin, trust, tenant, (kind, &request.pick)).await?;
    let (source, id) = match manifest.dump() {
        Some(dump) => {
            let link = dump.filestore.as_ref().ok_or_else(|| {
                Error::new(Kind::NotFound, format!("dump {} has no filestore", manifest.id))
                    .next("choose a backup of a filestore in lifeboat list, and pass it with --snapshot ID")
            })?;
            let files = DumpFiles::look(
                &repository,
                &origin,
                trust,
                (&manifest, link, &request.files_of),
                &identities,
            )
            .await?;
            (Source::OfDump(Box::new(files)), link.snapshot.clone())
        }
        None => {
            manifest.filestore_facts()?;
            let linked = Linked::look(&repository, &origin, trust, &manifest.id).await?;
            let whose = request.files_of.iter().chain([tenant]).cloned().collect();
            let search = Search::new(&repository, &origin, trust, &identities, whose, manifest.point);
            (Source::Alone(Box::new(linked), Box::new(search)), manifest.id.clone())
        }
    };
    let linked = source.linked();
    if let Err(why) = &linked.chain {
        return Err(Error::new(Kind::Integrity, format!("the list of {id} cannot be read"))
            .because(why.clone())
            .effect("without its list and without a database it is unknown which files existed")
            .next("choose another backup of the filestore in lifeboat list and pass it with --snapshot ID; or restore the \
             database too"));
    }
    let database = match request.target {
        Some(target) => target,
        None => default_target(tenant, manifest.point)?,
    };
    let work = workplace(config, &database)?;
    let data_dir = request.data_dir.map_or_else(|| config.data_dir().map(Path::to_owned), Ok)?;
    let incomplete = (true, work.staging());
    let filestore = match &source {
        Source::OfDump(files) => files.plan(&data_dir, &database, incomplete)?,
        Source::Alone(..) => {
            let facts = linked.manifest().unwrap_or(&manifest).filestore_facts()?;
            let held = (manifest.id.clone(), facts.files, facts.bytes);
            filestore_plan(held, 0, &data_dir, &database, incomplete)?
        }
    };
    let link = manifest.link();
    let elsewhere = link.map(|link| link.elsewhere.clone()).unwrap_or_default();
    let plan = FilesPlan {
        repository: repository.store().url().to_owned(),
        snapshot: id,
        dump: manifest.dump().is_some().then(|| manifest.id.clone()),
        point: linked.manifest().map_or(manifest.point, |own| own.point),
        fetch_bytes: linked.stored_bytes(),
        free_bytes: disk::free_bytes(&filestore.staging)?,
        estimate: Work {
            file_bytes: filestore.bytes,
            files: filestore.files,
            ..Work::of(Way::Files, Some(&request.tenant))
        }
        .estimate(config),
        allow_missing_files: request.allow_missing_files,
        missing: source.missing(),
        warnings: warnings.into_iter().chain(source.warnings()).chain(elsewhere::told(&elsewhere)).collect(),
        elsewhere,
        database,
        filestore,
        tenant: request.tenant,
    };
    // Each file uses whole blocks of 4 KiB: on average half a block more.
    let needed = plan.filestore.bytes + plan.filestore.files * 2048;
    if plan.free_bytes < needed {
        let (needed, free) = (bytes_text(needed), bytes_text(plan.free_bytes));
        let what = format!(
            "the filestore needs {needed} in {}, but only {free} are free there",
            plan.filestore.staging.display()
        );
        return Err(Error::new(Kind::NoSpace, what)
            .effect("nothing was changed")
            .next("free some space, or choose another place with --data-dir"));
    }
    let workers = config.restore.workers;
    Ok(Prepared { plan, repository, identities, source, work, workers })
}

impl Source {
    fn linked(&self) -> &Linked {
        match self {
            Source::OfDump(files) => &files.linked,
            Source::Alone(linked, _) => linked,
        }
    }

    fn search(&self) -> &Search {
        match self {
            Source::OfDump(files) => files.search(),
            Source::Alone(_, search) => search,
        }
    }

    fn missing(&self) -> Vec<MissingFile> {
        match self {
            Source::OfDump(files) => files.missing(),
            Source::Alone(..) => Vec::new(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        match self {
            Source::OfDump(files) => files.warnings(),
            Source::Alone(linked, _) => linked.warnings(),
        }
    }
}

/// Restores what was planned.
///
/// # Errors
/// Whatever failed. Then nothing is published, and running the same restore again continues.
pub async fn apply(
    prepared: Prepared,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<FilesRestored> {
    let begun = clock::instant();
    let Prepared { plan, repository, identities, source, work, workers } = prepared;
    work.prepare()?;
    let lock_path = work.lock();
    let _lock = disk::try_lock(&lock_path)?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("another restore of {} is running on this host", plan.database))
            .because(format!("it holds the lock {}", lock_path.display()))
            .next("wait for it to end")
    })?;
    progress.expect_bytes(plan.filestore.bytes);
    let watch = Stopwatch::default();
    let staging = Staging {
        plan: &plan.filestore,
        data_dir: &plan.filestore.data_dir,
        repository: &repository,
        identities: &identities,
        search: source.search(),
        allow_missing: plan.allow_missing_files,
        workers,
        progress,
        cancel,
    };
    let list = match &source {
        Source::OfDump(files) => files.list(&repository, &identities).await?,
        Source::Alone(linked, _) => linked.list(&repository, &identities).await?,
    };
    let list = list.map_err(|why| {
        Error::new(Kind::Integrity, format!("the list of {} cannot be read", plan.snapshot)).because(why)
    })?;
    let staged = watch.time("fetch filestore", staging.run(Ok(list))).await?;
    staging.check(&staged)?;
    if cancel.is_cancelled() {
        return Err(Error::new(Kind::Interrupted, "the restore was stopped before anything was published")
            .safe("running the same restore again continues where possible"));
    }
    let files = &plan.filestore;
    staging::publish(files, file_owner(&files.data_dir)?)?;
    staging::settle(files)?;
    work.remove()?;
    let warnings = [plan.warnings.clone(), staged.told.clone()].concat();
    Ok(FilesRestored {
        files: staged.files,
        file_bytes: staged.bytes,
        lost_files: staged.lost.len() as u64,
        missing_files: [staged.missing(), plan.missing.clone()].concat(),
        stages: watch.stages(),
        seconds: begun.elapsed().as_secs_f64(),
        warnings,
        plan,
    })
}

impl std::fmt::Display for FilesPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = &self.filestore;
        writeln!(f, "restore the filestore of {} from {}, without a database", self.tenant, self.repository)?;
        let dump = self.dump.as_ref().map_or(String::new(), |id| format!(", which belongs to {id}"));
        writeln!(f, "  source      {}{dump}", self.snapshot)?;
        writeln!(f, "  state of    {}", clock::text(self.point))?;
        let size = bytes_text(files.bytes);
        writeln!(f, "  creates     {} ({}, {size})", files.dir.display(), counted(files.files, "file"))?;
        writeln!(f, "              for database {}, which is not changed", self.database)?;
        files_lines(f, files, &self.missing)?;
        writeln!(f, "  fetches     at most {}", bytes_text(self.fetch_bytes))?;
        writeln!(f, "  space       {size} of {} free", bytes_text(self.free_bytes))?;
        write!(f, "  takes       {}", self.estimate)?;
        for warning in &self.warnings {
            write!(f, "\n  WARNING     {warning}")?;
        }
        Ok(())
    }
}
