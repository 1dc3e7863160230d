//! The filestores on disk, as following sees them: tenants, their folders of two or three digits, and the
//! files in these whose names are digests.
//!
//! They belong to Odoo's user: everything is opened relative to a handle, and nothing outside of it (see
//! [`Dir`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::copies::Copies;
use crate::config::Config;
use crate::disk::beneath::Dir;
use crate::disk::neighbours::Neighbours;
use crate::disk::watch::{Added, Adder};
use crate::error::{Error, Result};
use crate::names::{InstanceName, STAGING_SUFFIX, TenantName};
use crate::odoo::blob::BlobName;
use crate::odoo::filestore;

/// Where the filestores are, and which of them are followed.
pub struct Tree {
    data_dir: PathBuf,
    root: PathBuf,
    only: Vec<TenantName>,
    exclude: Vec<TenantName>,
    state_dir: PathBuf,
    instance: InstanceName,
}

/// A file by its name: the same name is the same content, for every tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// As in `store_fname`: `3f/3fab…`.
    pub path: String,
    /// The tenant.
    pub tenant: Arc<TenantName>,
}

/// What a watched directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchedDir {
    /// `filestore/`.
    Root,
    /// `filestore/<tenant>`.
    Tenant(Arc<TenantName>),
    /// `filestore/<tenant>/<shard>`.
    Shard(Arc<TenantName>, String),
}

/// Everything that must be listed and watched.
#[derive(Default)]
pub struct Survey {
    /// Each tenant's folders.
    pub tenants: BTreeMap<Arc<TenantName>, BTreeSet<String>>,
    /// What is watched, by its number.
    pub places: HashMap<i32, WatchedDir>,
    /// How many directories are not watched because of the kernel's limit.
    pub unwatched: u64,
    /// What could not be read.
    pub problems: Vec<Error>,
}

impl Tree {
    /// The tree of a configuration.
    ///
    /// # Errors
    /// `Config` where `odoo.data_dir` is not set.
    pub fn new(config: &Config) -> Result<Tree> {
        let data_dir = config.data_dir()?.to_owned();
        Ok(Tree {
            root: data_dir.join("filestore"),
            data_dir,
            only: config.odoo.tenants.clone(),
            exclude: config.odoo.exclude.clone(),
            state_dir: config.state_dir.clone(),
            instance: config.instance.clone(),
        })
    }

    /// `filestore/`.
    pub fn root(&self) -> &PathBuf {
        &self.root
    }

    /// Where a file is, for messages.
    pub fn location(&self, name: &Name) -> PathBuf {
        self.root.join(name.tenant.as_str()).join(&name.path)
    }

    /// The directory of all of them; `None` where there is none.
    fn open_all(&self) -> Result<Option<Dir>> {
        filestore::open_all(&self.data_dir)
    }

    /// A folder of a tenant; the whole filestore where `below` is empty.
    pub fn open_dir(&self, tenant: &TenantName, below: &str) -> Result<Option<Dir>> {
        let Some(dir) = filestore::open(&self.data_dir, tenant.as_str())? else { return Ok(None) };
        match dir.dir(Path::new(below)) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            opened => opened.map(Some).map_err(|e| Error::file("open", &dir.path().join(below), e)),
        }
    }

    /// Opens a file; an error where it is not a regular file.
    pub fn open(&self, name: &Name) -> std::io::Result<(File, Metadata)> {
        let dir = filestore::open(&self.data_dir, name.tenant.as_str()).map_err(std::io::Error::other)?;
        dir.ok_or(ErrorKind::NotFound)?.open_file(Path::new(&name.path))
    }

    /// A file that was opened with [`Tree::open`], as it is now.
    pub fn again(&self, opened: &File) -> std::io::Result<(File, Metadata)> {
        let mut again = opened.try_clone()?;
        std::io::Seek::rewind(&mut again)?;
        let meta = again.metadata()?;
        Ok((again, meta))
    }

    /// What has the name of this file now.
    pub fn look(&self, name: &Name) -> Option<Metadata> {
        let dir = filestore::open(&self.data_dir, name.tenant.as_str()).ok()??;
        dir.look(Path::new(&name.path)).ok()?
    }

    /// The tenant of this name, where it is followed.
    pub fn tenant(&self, name: &str) -> Option<Arc<TenantName>> {
        let name: TenantName = name.parse().ok()?;
        let wanted = self.only.is_empty() || self.only.contains(&name);
        let named = self.only.contains(&name);
        let staged = name.as_str().contains(STAGING_SUFFIX) && !named;
        (wanted && !staged && !self.exclude.contains(&name)).then(|| Arc::new(name))
    }

    /// Which of these names are copies and old states that Lifeboat made: the repository already holds their
    /// files. A name in odoo.tenants is always followed.
    fn copies(&self, names: &[String]) -> Result<BTreeSet<String>> {
        let copies = Copies::read(&self.state_dir, &self.instance)?;
        let Some(beside) = Neighbours::open(&self.root)? else { return Ok(BTreeSet::new()) };
        let is_copy = |name: &&String| {
            !self.only.iter().any(|only| only.as_str() == name.as_str())
                && beside.id(name).ok().flatten().is_some_and(|id| copies.of_filestore(name, &id).is_some())
        };
        Ok(names.iter().filter(is_copy).cloned().collect())
    }

    /// The names below `filestore/`, of tenants and others.
    pub fn names(&self) -> Result<Vec<String>> {
        match self.open_all()? {
            Some(dir) => names_in(&dir),
            None => Ok(Vec::new()),
        }
    }

    /// Watches every directory and then lists it: no file that arrives meanwhile is missed. Blocking.
    pub fn survey(&self, adder: &Adder) -> Survey {
        let mut survey = Survey::default();
        let names = survey.names(adder, self.open_all(), WatchedDir::Root);
        // Where the copies are not known, all are followed: this costs space and loses nothing.
        let copies = self.copies(&names).unwrap_or_else(|e| {
            survey.problems.push(e);
            BTreeSet::new()
        });
        let mut tenants = Vec::new();
        for name in names {
            let Some(tenant) = self.tenant(&name).filter(|_| !copies.contains(&name)) else { continue };
            match self.open_dir(&tenant, "") {
                Ok(Some(dir)) => tenants.push((tenant, dir)),
                Ok(None) => {}
                Err(_) if self.is_file(&name) => {} // a file beside the filestores, not a tenant
                Err(e) => survey.problems.push(e),
            }
        }
        for (tenant, dir) in tenants {
            let names = survey.names(adder, Ok(Some(dir)), WatchedDir::Tenant(tenant.clone()));
            let shards: BTreeSet<String> = names.into_iter().filter(|name| is_shard(name)).collect();
            for shard in &shards {
                match self.open_dir(&tenant, shard) {
                    Ok(Some(dir)) => {
                        survey.watch(adder, &dir, WatchedDir::Shard(tenant.clone(), shard.clone()))
                    }
                    Ok(None) => {}
                    Err(e) => survey.problems.push(e),
                }
            }
            survey.tenants.insert(tenant, shards);
        }
        survey
    }

    fn is_file(&self, name: &str) -> bool {
        let found = self.open_all().ok().flatten().and_then(|dir| dir.look(Path::new(name)).ok()?);
        found.is_some_and(|meta| meta.is_file())
    }

    /// The files in one folder of a tenant. Blocking.
    pub fn files(&self, tenant: &Arc<TenantName>, shard: &str) -> Result<Vec<Name>> {
        let Some(dir) = self.open_dir(tenant, shard)? else { return Ok(Vec::new()) };
        let entries = dir.entries().map_err(|e| Error::file("list", dir.path(), e))?;
        let names = entries.into_iter().filter_map(|entry| {
            let name = blob_in(tenant, shard, entry.name.to_str()?)?;
            entry.kind.is_ok_and(|kind| kind.is_file()).then_some(name)
        });
        Ok(names.collect())
    }
}

fn names_in(dir: &Dir) -> Result<Vec<String>> {
    let entries = dir.entries().map_err(|e| Error::file("list", dir.path(), e))?;
    Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
}

impl Survey {
    fn watch(&mut self, adder: &Adder, dir: &Dir, place: WatchedDir) {
        match adder.add(dir) {
            Ok(Added::Watched(number)) => drop(self.places.insert(number, place)),
            Ok(Added::LimitReached) => self.unwatched += 1,
            Err(e) => self.problems.push(e),
        }
    }

    /// Watches a directory, and then lists it.
    fn names(&mut self, adder: &Adder, dir: Result<Option<Dir>>, place: WatchedDir) -> Vec<String> {
        let names = dir.and_then(|dir| {
            let Some(dir) = dir else { return Ok(Vec::new()) };
            self.watch(adder, &dir, place);
            names_in(&dir)
        });
        names.unwrap_or_else(|e| {
            self.problems.push(e);
            Vec::new()
        })
    }
}

/// Whether this is a folder of files: two digits, or three.
pub fn is_shard(name: &str) -> bool {
    matches!(name.len(), 2 | 3) && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The file of this name in this folder, where the name is a digest.
pub fn blob_in(tenant: &Arc<TenantName>, shard: &str, name: &str) -> Option<Name> {
    let path = format!("{shard}/{name}");
    BlobName::parse(path.as_bytes())?;
    Some(Name { path, tenant: tenant.clone() })
}
