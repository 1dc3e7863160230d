//! The filestore's half of a restore: into a staging directory beside its final place, renamed when everything is
//! durable. Files come from wherever they are whole: damage found while one place is read leads to the next one that
//! holds the file, and is told. What cannot be had anywhere ends the restore, unless a person asked for the rest.

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

/// Files that an error names one by one.
const NAMED_MAX: usize = 5;
/// Why a file is missing that no list names.
const NOWHERE: &str = "no backup of this tenant's filestore and no batch of its new files holds it";

/// How files come.
pub(super) struct Staging<'a> {
    pub(super) plan: &'a FilestorePlan,
    /// Odoo's data directory.
    pub(super) data_dir: &'a Path,
    pub(super) repository: &'a Repository,
    pub(super) identities: &'a Arc<Identities>,
    /// Where files are looked for that did not come whole.
    pub(super) search: &'a Search,
    /// Whether files that cannot be had may be missing: asked for with a flag.
    pub(super) allow_missing: bool,
    pub(super) workers: usize,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
}

/// What is to be fetched, and from where first.
#[derive(Default)]
pub(super) struct List {
    pub(super) wanted: Wanted,
    /// Of every snapshot that is named.
    pub(super) manifests: HashMap<SnapshotId, Manifest>,
}

/// What lies in the staging directory.
#[derive(Default)]
pub(super) struct Staged {
    /// Whole files.
    pub(super) files: u64,
    /// Their sizes added up.
    pub(super) bytes: u64,
    /// Files that a list names and that could be had whole from nowhere.
    pub(super) lost: Vec<MissingFile>,
    /// Names of rows that no list has.
    pub(super) never_held: Vec<MissingFile>,
    /// What a person should know: damage, and where the files came from instead.
    pub(super) told: Vec<String>,
    /// Why the list could not be read, where it could not: then it is not known which files there were.
    pub(super) unread: Option<String>,
    tried: Tried,
}

impl Staging<'_> {
    /// Fetches a list. Files of an earlier try are kept where they are whole and wanted; others go. What could be had
    /// from nowhere is in the result: whether it may be missing, [`Staging::complete`] or [`Staging::check`] says.
    ///
    /// # Errors
    /// Where it could not be looked, or not be written.
    pub(super) async fn run(&self, list: std::result::Result<List, String>) -> Result<Staged> {
        let mut staged = Staged::default();
        let list = list.unwrap_or_else(|why| {
            staged.unread = Some(why);
            List::default()
        });
        self.fetch(list, true, &mut staged).await?;
        Ok(staged)
    }

    /// Fetches exactly the files that rows name, from wherever they are: no list says which there were. Files of an
    /// earlier try are kept where they are whole and wanted; others go.
    ///
    /// # Errors
    /// As [`Staging::check`].
    pub(super) async fn run_named(&self, names: Vec<NamedFile>) -> Result<Staged> {
        let empty = escaped(names.iter().filter(|file| file.bytes == Some(0)));
        let mut found = self.search.find(escaped(names.iter()), &Tried::new()).await?;
        found.missing.retain(|path| !empty.contains(path));
        let mut staged = Staged { told: found.warnings, ..Staged::default() };
        staged.never_held = found.missing.iter().map(|path| missing(path, NOWHERE.to_owned())).collect();
        // Before, it was not known how many bytes there are: a total that grows would run backwards.
        self.progress.expect_bytes(self.progress.snapshot().bytes + found.wanted.bytes);
        let list = List { wanted: found.wanted, manifests: found.manifests };
        self.fetch(list, true, &mut staged).await?;
        self.check(&staged)?;
        Ok(staged)
    }

    /// Looks whether each of these, which the restored rows name, lies there, and fetches the others from wherever
    /// they are. A list that was damaged, or that lacked files when it was made, is made up for here. What a list names
    /// and no row does is missed by nobody, and only told.
    ///
    /// # Errors
    /// As [`Staging::check`].
    pub(super) async fn complete(&self, names: Vec<NamedFile>, staged: &mut Staged) -> Result<()> {
        let named = escaped(names.iter());
        let lost = staged.lost.len();
        staged.lost.retain(|file| named.contains(&escape(file.store_fname.as_bytes())));
        if staged.lost.len() < lost {
            let files = counted(lost - staged.lost.len(), "file");
            staged.told.push(format!("left out: {files} that no row names and no backup holds undamaged"));
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

    /// Whether what is there may be published.
    ///
    /// # Errors
    /// `Integrity` naming files that can be had whole from nowhere, where these are not allowed to be missing.
    pub(super) fn check(&self, staged: &Staged) -> Result<()> {
        match staged.lost.is_empty() || self.allow_missing {
            true => Ok(()),
            false => Err(self.left(lost(&staged.lost))),
        }
    }

    fn left(&self, e: Error) -> Error {
        e.effect(format!(
            "nothing was published; what was fetched so far is left in {}",
            self.plan.staging.display()
        ))
        .safe("running the same restore again continues there")
    }

    /// Those that are not there, escaped; and which of them are empty: Odoo reads one that is absent as empty all the
    /// same.
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
    /// Everything that is missing, and why.
    pub(super) fn missing(&self) -> Vec<MissingFile> {
        [self.lost.clone(), self.never_held.clone()].concat()
    }

    /// What there is where nothing was ever backed up.
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
        "the same command with --allow-missing-files restores everything else and names each missing file; \
             lifeboat verify --deep --identity FILE tells what else is damaged",
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

/// All that a thread needs to fetch.
struct Pass {
    repository: Repository,
    identities: Arc<Identities>,
    search: Search,
    workers: usize,
    progress: Progress,
    cancel: CancellationToken,
}

impl Pass {
    /// Fetches, and fetches again from elsewhere what did not come, until everything is there or nothing more can be
    /// found. Each file is tried once in each place, so this ends. Blocking.
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
            false => format!("{} of {} does not hold what its index says", pack::name(home.1), home.0),
        })
        .collect();
    format!("{}, and no other backup of this tenant holds it undamaged", told.join(", "))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "fetching the filestore panicked").because(e)))
}
