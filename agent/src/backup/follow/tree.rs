//! The filestores on disk, as following sees them: tenants, their folders of two or three digits, and
//! the files in these whose names are digests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::copies::Copies;
use crate::config::Config;
use crate::disk;
use crate::disk::neighbours::Neighbours;
use crate::disk::watch::{Added, Adder};
use crate::error::{Error, Result};
use crate::names::{InstanceName, TenantName};
use crate::odoo::blob::BlobName;

/// How the names end of what a restore is filling.
const STAGING: &str = ".lifeboat-incomplete";

/// Where the filestores lie, and whose are followed.
pub struct Tree {
    root: PathBuf,
    only: Vec<TenantName>,
    exclude: Vec<TenantName>,
    state_dir: PathBuf,
    instance: InstanceName,
}

/// A file by its name: the same name is the same content, whosever it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// As in `store_fname`: `3f/3fab…`.
    pub path: String,
    /// Whose.
    pub tenant: Arc<TenantName>,
}

/// What a watched directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `filestore/`.
    Root,
    /// `filestore/<tenant>`.
    Tenant(Arc<TenantName>),
    /// `filestore/<tenant>/<shard>`.
    Shard(Arc<TenantName>, String),
}

/// Everything that is to be listed and watched.
#[derive(Default)]
pub struct Survey {
    /// Each tenant's folders.
    pub tenants: BTreeMap<Arc<TenantName>, BTreeSet<String>>,
    /// What is watched, by its number.
    pub places: HashMap<i32, Place>,
    /// How many directories are not watched, for the kernel's limit.
    pub unwatched: u64,
    /// What could not be looked at.
    pub problems: Vec<Error>,
}

impl Tree {
    /// That of a configuration.
    ///
    /// # Errors
    /// `Config` where `odoo.data_dir` is not set.
    pub fn new(config: &Config) -> Result<Tree> {
        Ok(Tree {
            root: config.data_dir()?.join("filestore"),
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

    /// Where a file is.
    pub fn location(&self, name: &Name) -> PathBuf {
        self.root.join(name.tenant.as_str()).join(&name.path)
    }

    /// The tenant of this name, where it is followed.
    pub fn tenant(&self, name: &str) -> Option<Arc<TenantName>> {
        let name: TenantName = name.parse().ok()?;
        let wanted = self.only.is_empty() || self.only.contains(&name);
        let named = self.only.contains(&name);
        let staged = name.as_str().ends_with(STAGING) && !named;
        (wanted && !staged && !self.exclude.contains(&name)).then(|| Arc::new(name))
    }

    /// Of these names, those of copies and of old states that Lifeboat made: they hold what the repository
    /// holds already. What is named in odoo.tenants is followed whatever it is.
    fn copies(&self, names: &[String]) -> Result<BTreeSet<String>> {
        let copies = Copies::read(&self.state_dir, &self.instance)?;
        let Some(beside) = Neighbours::open(&self.root)? else { return Ok(BTreeSet::new()) };
        let is_copy = |name: &&String| {
            !self.only.iter().any(|only| only.as_str() == name.as_str())
                && beside.id(name).ok().flatten().is_some_and(|id| copies.of_filestore(name, &id).is_some())
        };
        Ok(names.iter().filter(is_copy).cloned().collect())
    }

    /// Watches every directory, and then lists them: what comes meanwhile is told, or listed, or both.
    /// Blocking.
    pub fn survey(&self, adder: &Adder) -> Survey {
        let mut survey = Survey::default();
        survey.watch(adder, self.root.clone(), Place::Root);
        let names = survey.names(self.root.clone());
        // Where that is not known, all are followed: it costs room and loses nothing.
        let copies = self.copies(&names).unwrap_or_else(|e| {
            survey.problems.push(e);
            BTreeSet::new()
        });
        for name in names {
            let Some(tenant) = self.tenant(&name).filter(|_| !copies.contains(&name)) else { continue };
            if disk::is_dir(&self.root.join(&name)) {
                survey.watch(adder, self.root.join(&name), Place::Tenant(tenant.clone()));
                survey.tenants.insert(tenant, BTreeSet::new());
            }
        }
        for tenant in survey.tenants.keys().cloned().collect::<Vec<_>>() {
            let dir = self.root.join(tenant.as_str());
            let shards: BTreeSet<String> =
                survey.names(dir.clone()).into_iter().filter(|name| is_shard(name)).collect();
            for shard in &shards {
                survey.watch(adder, dir.join(shard), Place::Shard(tenant.clone(), shard.clone()));
            }
            survey.tenants.insert(tenant, shards);
        }
        survey
    }

    /// The files in one folder of a tenant. Blocking.
    pub fn files(&self, tenant: &Arc<TenantName>, shard: &str) -> Result<Vec<Name>> {
        let dir = self.root.join(tenant.as_str()).join(shard);
        let entries = disk::read_dir(&dir)?.unwrap_or_default();
        let names = entries.into_iter().filter_map(|entry| {
            let name = blob_in(tenant, shard, entry.file_name().to_str()?)?;
            entry.file_type().is_ok_and(|kind| kind.is_file()).then_some(name)
        });
        Ok(names.collect())
    }
}

impl Survey {
    fn watch(&mut self, adder: &Adder, dir: PathBuf, place: Place) {
        match adder.add(&dir) {
            Ok(Added::Watched(number)) => drop(self.places.insert(number, place)),
            Ok(Added::Gone) => {}
            Ok(Added::LimitReached) => self.unwatched += 1,
            Err(e) => self.problems.push(e),
        }
    }

    fn names(&mut self, dir: PathBuf) -> Vec<String> {
        match disk::read_dir(&dir) {
            Ok(entries) => {
                let entries = entries.into_iter().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            Err(e) => {
                self.problems.push(e);
                Vec::new()
            }
        }
    }
}

/// Whether this is a folder of files: two digits, or three.
pub fn is_shard(name: &str) -> bool {
    matches!(name.len(), 2 | 3) && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The file that is called so in this folder, where that is a digest.
pub fn blob_in(tenant: &Arc<TenantName>, shard: &str, name: &str) -> Option<Name> {
    let path = format!("{shard}/{name}");
    BlobName::parse(path.as_bytes())?;
    Some(Name { path, tenant: tenant.clone() })
}
