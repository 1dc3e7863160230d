//! The filestore's half of a restore: files go into a staging directory beside the final place, which is
//! renamed when everything is durable. A file may come from any backup that holds it intact: if one copy
//! is damaged, the next backup is tried, and the damage is reported. A file that is intact nowhere ends
//! the restore, unless a flag allows it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{Manifest, MissingFile};
use crate::archive::pack;
use crate::archive::path::{escape, unescape};
use crate::archive::seal::Identities;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, counted};
use crate::progress::Progress;
use crate::recovery::extract::{Came, Extract, extract_what_comes};
use crate::recovery::find_files::{Search, Tried};
use crate::recovery::named_files::NamedFile;
use crate::recovery::place::FilestorePlan;
use crate::recovery::staging;
use crate::recovery::wanted::{Home, Wanted};
use crate::recovery::{FileOwner, file_owner};
use crate::repository::Repository;

/// How many files an error names.
const NAMED_MAX: usize = 5;
/// Why a file is missing if no list names it.
const NOWHERE: &str = "no backup of this tenant's filestore and no batch of its new files holds it";

/// How files are fetched.
pub(super) struct Staging<'a> {
    pub(super) plan: &'a FilestorePlan,
    /// Odoo's data directory.
    pub(super) data_dir: &'a Path,
    pub(super) repository: &'a Repository,
    pub(super) identities: &'a Arc<Identities>,
    /// Where files are searched for if they are damaged or missing here.
    pub(super) search: &'a Search,
    /// Whether files that are intact nowhere may be missing; a flag allows this.
    pub(super) allow_missing: bool,
    pub(super) workers: usize,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
}

/// What to fetch, and from where first.
#[derive(Default)]
pub(super) struct List {
    pub(super) wanted: Wanted,
    /// The manifests of all named snapshots.
    pub(super) manifests: HashMap<SnapshotId, Manifest>,
}

/// The content of the staging directory.
#[derive(Default)]
pub(super) struct Staged {
    /// The number of intact files.
    pub(super) files: u64,
    /// The sum of their sizes.
    pub(super) bytes: u64,
    /// Files that a list names but that are intact in no backup.
    pub(super) lost: Vec<MissingFile>,
    /// Files that rows name but no list has.
    pub(super) never_held: Vec<MissingFile>,
    /// Warnings: damage, and where the files came from instead.
    pub(super) told: Vec<String>,
    /// Why the list could not be read, if so: then it is unknown which files existed.
    pub(super) unread: Option<String>,
    tried: Tried,
}

impl Staging<'_> {
    /// Fetches the files of a list. Intact wanted files of an earlier try are kept; others are removed.
    /// Files that are intact nowhere are in the result; [`Staging::complete`] or [`Staging::check`]
    /// decides whether they may be missing.
    ///
    /// # Errors
    /// If the repository cannot be read, or a file cannot be written.
    pub(super) async fn run(&self, list: std::result::Result<List, String>) -> Result<Staged> {
        let mut staged = Staged::default();
        let list = list.unwrap_or_else(|why| {
            staged.unread = Some(why);
            List::default()
        });
        self.fetch(list, true, &mut staged).await?;
        Ok(staged)
    }

    /// Fetches exactly the files that rows name, from any backup: there is no list of files. Intact wanted
    /// files of an earlier try are kept; others are removed.
    ///
    /// # Errors
    /// As [`Staging::check`].
    pub(super) async fn run_named(&self, names: Vec<NamedFile>) -> Result<Staged> {
        let empty = escaped(names.iter().filter(|file| file.bytes == Some(0)));
        let mut found = self.search.find(escaped(names.iter()), &Tried::new()).await?;
        found.missing.retain(|path| !empty.contains(path));
        let mut staged = Staged { told: found.warnings, ..Staged::default() };
        staged.never_held = found.missing.iter().map(|path| missing(path, NOWHERE.to_owned())).collect();
        // The number of bytes was unknown before: with a growing total the progress would run backwards.
        self.progress.expect_bytes(self.progress.snapshot().bytes + found.wanted.bytes);
        let list = List { wanted: found.wanted, manifests: found.manifests };
        self.fetch(list, true, &mut staged).await?;
        self.check(&staged)?;
        Ok(staged)
    }

    /// Checks that each of these files, which the restored rows name, is there, and fetches missing ones
    /// from any backup. This makes up for a damaged list and for one that lacked files when it was
    /// written. A missing file that a list names but no row does is only reported.
    ///
    /// # Errors
    /// As [`Staging::check`].
    pub(super) async fn complete(&self, names: Vec<NamedFile>, staged: &mut Staged) -> Result<()> {
        let named = escaped(names.iter());
        let lost = staged.lost.len();
        staged.lost.retain(|file| named.contains(&escape(file.store_fname.as_bytes())));
        if staged.lost.len() < lost {
            let files = counted(lost - staged.lost.len(), "file");
            staged.told.push(format!("left out: {files} that no row names and that are intact in no backup"));
        }
        let (absent, empty) = self.absent(names).await?;
        let known: BTreeSet<String> =
            staged.lost.iter().map(|lost| escape(lost.store_fname.as_bytes())).collect();
        let open: BTreeSet<String> = absent.difference(&known).cloned().collect();
        let mut found = self.search.find(open, &staged.tried).await?;
        staged.told.extend(found.warnings);
        found.missing.retain(|path| !empty.contains(path));
        match &staged.unread {
            None => {
                staged.never_held.extend(found.missing.iter().map(|path| missing(path, NOWHERE.to_owned())))
            }
            Some(why) => {
                let why = format!("the list of its backup cannot be read ({why}), and {NOWHERE}");
                staged.lost.extend(found.missing.iter().map(|path| missing(path, why.clone())));
            }
        }
        let list = List { wanted: found.wanted, manifests: found.manifests };
        let count = list.wanted.files().len();
        if count > 0 {
            let from = from(&list.wanted);
            let files = counted(count, "file");
            staged.told.push(format!("taken from {from}: {files} missing in the list of the backup"));
        }
        self.fetch(list, false, staged).await?;
        self.check(staged)
    }

    /// Checks that the staged files may be published.
    ///
    /// # Errors
    /// `Integrity`, naming files that are intact in no backup, if these may not be missing.
    pub(super) fn check(&self, staged: &Staged) -> Result<()> {
        match staged.lost.is_empty() || self.allow_missing {
            true => Ok(()),
            false => Err(self.left(lost(&staged.lost))),
        }
    }

    fn left(&self, e: Error) -> Error {
        e.effect(format!(
            "nothing was published; the files fetched so far stay in {}",
            self.plan.staging.display()
        ))
        .safe("running the same restore again continues there")
    }

    /// The missing files, escaped; and which of them are empty: Odoo reads a missing file as empty anyway.
    async fn absent(&self, names: Vec<NamedFile>) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let (plan, owner) = (self.plan.clone(), file_owner(self.data_dir)?);
        blocking(move || {
            let (_, dir) = staging::open(&plan, owner)?;
            let is_there = |name: &str| matches!(dir.look(Path::new(name)), Ok(Some(meta)) if meta.is_file());
            let absent: Vec<NamedFile> =
                names.into_iter().filter(|file| !is_there(&file.store_fname)).collect();
            Ok((escaped(absent.iter()), escaped(absent.iter().filter(|file| file.bytes == Some(0)))))
        })
        .await
    }

    async fn fetch(&self, list: List, keep: bool, staged: &mut Staged) -> Result<()> {
        let owner = file_owner(self.data_dir)?;
        let pass = Pass {
            repository: self.repository.clone(),
            identities: self.identities.clone(),
            search: self.search.clone(),
            workers: self.workers,
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
        };
        let (planned, mut so_far) = (self.plan.clone(), std::mem::take(staged));
        let fetched = blocking(move || {
            let (all, dir) = staging::open(&planned, owner)?;
            let dir_mode = staging::dir_mode(&all)?;
            pass.run(list, keep, (&dir, dir_mode, owner), &mut so_far)?;
            dir.sync_file_system().map_err(|e| Error::file("sync", dir.path(), e))?;
            Ok(so_far)
        });
        *staged = fetched.await.map_err(|e| self.left(e))?;
        Ok(())
    }
}

impl Staged {
    /// All missing files, and why.
    pub(super) fn missing(&self) -> Vec<MissingFile> {
        [self.lost.clone(), self.never_held.clone()].concat()
    }

    /// The result if nothing was ever backed up.
    pub(super) fn without_any(names: Vec<NamedFile>) -> Staged {
        let missing = |file: NamedFile| MissingFile {
            store_fname: file.store_fname,
            why: NOWHERE.to_owned(),
            held_in: None,
        };
        Staged { never_held: names.into_iter().map(missing).collect(), ..Staged::default() }
    }
}

fn lost(files: &[MissingFile]) -> Error {
    let names: Vec<&str> = files.iter().take(NAMED_MAX).map(|file| file.store_fname.as_str()).collect();
    let more = if files.len() > NAMED_MAX { " …" } else { "" };
    let count = match files.len() {
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    };
    let what = format!("no backup holds {count} undamaged: {}{more}", names.join(", "));
    let why: BTreeSet<&str> = files.iter().take(NAMED_MAX).map(|file| file.why.as_str()).collect();
    Error::new(Kind::Integrity, what).because(why.into_iter().collect::<Vec<_>>().join("; ")).next(
        "to restore everything else and list each missing file, add --allow-missing-files; \
             to find other damage, run lifeboat verify --deep --identity FILE",
    )
}

fn escaped<'a>(names: impl Iterator<Item = &'a NamedFile>) -> BTreeSet<String> {
    names.map(|file| escape(file.store_fname.as_bytes())).collect()
}

fn missing(escaped: &str, why: String) -> MissingFile {
    let name = unescape(escaped).unwrap_or_default();
    MissingFile { store_fname: String::from_utf8_lossy(&name).into_owned(), why, held_in: None }
}

fn from(wanted: &Wanted) -> String {
    let used: BTreeSet<&SnapshotId> = wanted
        .packs()
        .into_iter()
        .filter_map(|(snapshot, _)| wanted.snapshots.get(snapshot as usize))
        .collect();
    let named: Vec<&str> = used.iter().take(NAMED_MAX).map(|id| id.as_str()).collect();
    match used.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more snapshots", named.join(", ")),
    }
}

/// Everything that a thread needs to fetch.
struct Pass {
    repository: Repository,
    identities: Arc<Identities>,
    search: Search,
    workers: usize,
    progress: Progress,
    cancel: CancellationToken,
}

impl Pass {
    /// Fetches the files, and missing ones again from other backups, until everything is there or nothing
    /// more can be found. Each file is tried once in each place, so this ends. Blocking.
    fn run(
        &self,
        mut list: List,
        mut keep: bool,
        (dir, dir_mode, owner): (&Dir, u32, Option<FileOwner>),
        staged: &mut Staged,
    ) -> Result<()> {
        let runtime = Handle::current();
        let mut bad: HashMap<Home, String> = HashMap::new();
        loop {
            let wanted = &list.wanted;
            let extract = Extract {
                repository: &self.repository,
                runtime: &runtime,
                manifests: &list.manifests,
                identities: &self.identities,
                wanted,
                dir,
                dir_mode,
                owner,
                workers: self.workers,
                progress: &self.progress,
                cancel: &self.cancel,
            };
            let came = extract_what_comes(&extract, keep)?;
            keep = false;
            let mut open = BTreeSet::new();
            let absent_bytes: u64 = came.absent.iter().map(|place| wanted.files()[*place].bytes).sum();
            staged.files += (wanted.files().len() - came.absent.len()) as u64;
            staged.bytes += wanted.bytes - absent_bytes;
            let Came { absent, bad: now_bad } = came;
            for ((id, number), why) in now_bad {
                let name = pack::name(number);
                let told = format!("{name} of {id} is damaged: {why}");
                if bad.insert((id, number), why).is_none() {
                    staged.told.push(told);
                }
            }
            for place in absent {
                let path = wanted.path(&wanted.files()[place]).to_owned();
                staged.tried.entry(path.clone()).or_default().extend(wanted.named_homes(place));
                open.insert(path);
            }
            let found = runtime.block_on(self.search.find(open, &staged.tried))?;
            staged.told.extend(found.warnings);
            for path in &found.missing {
                staged.lost.push(missing(path, why_lost(staged.tried.get(path), &bad)));
            }
            if found.wanted.files().is_empty() {
                return Ok(());
            }
            let files = counted(found.wanted.files().len(), "file");
            let from = from(&found.wanted);
            staged.told.push(format!("taken from {from}: {files} missing or damaged there"));
            self.progress.expect_bytes(self.progress.snapshot().bytes + found.wanted.bytes);
            list = List { wanted: found.wanted, manifests: found.manifests };
        }
    }
}

fn why_lost(tried: Option<&HashSet<Home>>, bad: &HashMap<Home, String>) -> String {
    let places: BTreeSet<&Home> = tried.into_iter().flatten().collect();
    let told: Vec<String> = places
        .into_iter()
        .map(|home| match bad.contains_key(home) {
            true => format!("{} of {} is damaged", pack::name(home.1), home.0),
            false => format!("{} of {} does not match its index", pack::name(home.1), home.0),
        })
        .collect();
    format!("{}, and it is intact in no other backup of this tenant", told.join(", "))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "fetching the filestore panicked").because(e)))
}
