//! What a manifest says only for its own kind of snapshot.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::configuration::ConfigFacts;
use super::{Manifest, SnapshotKind};
use crate::archive::base::BaseFacts;
use crate::archive::digest::Sha256;
use crate::archive::elsewhere::{Elsewhere, other_storage};
use crate::clock::span_text;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;

/// The facts of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Facts of a dump.
    Dump(DumpFacts),
    /// Facts of a filestore.
    Filestore(FilestoreFacts),
    /// Roles and tablespaces: no further facts.
    Globals,
    /// Facts of a base backup.
    Base(BaseFacts),
    /// Facts of files that were stored as they came.
    Arrivals(ArrivalFacts),
    /// Facts of a captured configuration.
    Config(ConfigFacts),
}

impl Facts {
    /// The kind of snapshot.
    pub fn kind(&self) -> SnapshotKind {
        match self {
            Facts::Dump(_) => SnapshotKind::Dump,
            Facts::Filestore(_) => SnapshotKind::Filestore,
            Facts::Globals => SnapshotKind::Globals,
            Facts::Base(_) => SnapshotKind::Base,
            Facts::Arrivals(_) => SnapshotKind::Arrivals,
            Facts::Config(_) => SnapshotKind::Config,
        }
    }
}

impl Manifest {
    /// The kind of snapshot.
    pub fn kind(&self) -> SnapshotKind {
        self.facts.kind()
    }

    /// The facts of a dump.
    pub fn dump(&self) -> Option<&DumpFacts> {
        match &self.facts {
            Facts::Dump(facts) => Some(facts),
            _ => None,
        }
    }

    /// The facts of a filestore.
    pub fn filestore(&self) -> Option<&FilestoreFacts> {
        match &self.facts {
            Facts::Filestore(facts) => Some(facts),
            _ => None,
        }
    }

    /// The facts of a base backup.
    pub fn base(&self) -> Option<&BaseFacts> {
        match &self.facts {
            Facts::Base(facts) => Some(facts),
            _ => None,
        }
    }

    /// The facts of a batch of files.
    pub fn arrivals(&self) -> Option<&ArrivalFacts> {
        match &self.facts {
            Facts::Arrivals(facts) => Some(facts),
            _ => None,
        }
    }

    /// The facts of a captured configuration.
    pub fn config(&self) -> Option<&ConfigFacts> {
        match &self.facts {
            Facts::Config(facts) => Some(facts),
            _ => None,
        }
    }

    /// The dump's facts; an error for another kind.
    pub fn dump_facts(&self) -> Result<&DumpFacts> {
        self.dump().ok_or_else(|| self.wrong_kind("dump"))
    }

    /// The filestore's facts; an error for another kind.
    pub fn filestore_facts(&self) -> Result<&FilestoreFacts> {
        self.filestore().ok_or_else(|| self.wrong_kind("filestore"))
    }

    /// The base backup's facts; an error for another kind.
    pub fn base_facts(&self) -> Result<&BaseFacts> {
        self.base().ok_or_else(|| self.wrong_kind("base"))
    }

    /// The facts of a captured configuration; an error for another kind.
    pub fn config_facts(&self) -> Result<&ConfigFacts> {
        self.config().ok_or_else(|| self.wrong_kind("config"))
    }

    /// The filestore that belongs to a dump.
    pub fn link(&self) -> Option<&FilestoreLink> {
        self.dump()?.filestore.as_ref()
    }

    fn wrong_kind(&self, wanted: &str) -> Error {
        Error::new(Kind::Usage, format!("snapshot {} is of kind {}, not {wanted}", self.id, self.kind()))
    }
}

/// The facts of a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpFacts {
    /// PostgreSQL's major version; pg_restore must be of the same or a newer one.
    pub server_major: u32,
    /// As in `pg_dump (PostgreSQL) 15.10`.
    pub pg_dump: String,
    /// Odoo's version, where `base` is installed.
    pub odoo_version: Option<String>,
    /// Size of the dump (custom format, uncompressed).
    pub bytes: u64,
    /// Digest of the dump.
    pub sha256: Sha256,
    /// Whether `pg_restore` read it to its end before this was signed.
    pub read_back: bool,
    /// Database size when dumped, for plans.
    pub database_bytes: u64,
    /// Role that owns the database.
    pub owner: String,
    /// What pg_dump printed although it succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The filestore that belongs to it; absent when only the database was requested.
    pub filestore: Option<FilestoreLink>,
    /// Where its packs are, if not in the bucket's own storage class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<ColdFacts>,
}

/// The storage class of the packs of a dump, as they were stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdFacts {
    /// The store's name of it.
    pub storage_class: String,
    /// How long it takes until they can be read.
    pub ready_after_seconds: u64,
}

impl ColdFacts {
    /// What a person must do before the dump can be read; `None` where it can be read at once.
    pub fn wait(&self) -> Option<String> {
        let ColdFacts { storage_class, ready_after_seconds } = self;
        let wait = span_text(Duration::from_secs(*ready_after_seconds));
        (*ready_after_seconds > 0).then(|| {
            format!(
                "the dump is in storage class {storage_class}: request its objects from the store; they can be read \
                 about {wait} later (docs/retention.md)"
            )
        })
    }
}

/// The filestore snapshot of a dump, and which files it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilestoreLink {
    /// The filestore snapshot, taken after the database's point.
    pub snapshot: SnapshotId,
    /// Distinct `store_fname` in the dumped database.
    pub referenced: u64,
    /// Files that the database references and the repository does not hold, or only damaged.
    pub missing_files: u64,
    /// The first of them (at most 1,000).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingFile>,
    /// What its rows name in other storages; not in `missing_files`. Older programs counted it there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
    /// How Odoo's garbage collector was kept from deleting files.
    pub fence: String,
}

impl FilestoreLink {
    /// How many files are missing, without those in another storage that an older program counted.
    pub fn missing_count(&self) -> u64 {
        let elsewhere = self.missing.iter().filter(|file| other_storage(&file.store_fname).is_some());
        self.missing_files.saturating_sub(elsewhere.count() as u64)
    }

    /// Those of them that are listed.
    pub fn missing_named(&self) -> impl Iterator<Item = &MissingFile> {
        self.missing.iter().filter(|file| other_storage(&file.store_fname).is_none())
    }
}

/// One file that a row names and the repository does not hold, or only damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFile {
    /// `ir_attachment.store_fname`.
    pub store_fname: String,
    /// Why, in a sentence, and whether the source had lost it before.
    pub why: String,
    /// An earlier backup of this tenant's filestore, or a batch, that has it: restores look there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_in: Option<SnapshotId>,
}

impl std::fmt::Display for MissingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.store_fname, self.why)?;
        match &self.held_in {
            Some(id) => write!(f, "; a restore takes it from {id}"),
            None => Ok(()),
        }
    }
}

/// The facts of a filestore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilestoreFacts {
    /// Whether the index lists all files or the difference from the parent.
    pub complete: bool,
    /// Snapshots whose indexes, in this order, give the list of files: a complete one first, this one last.
    pub index_chain: Vec<SnapshotId>,
    /// Snapshots whose packs contain files of the list, oldest first.
    pub sources: Vec<SnapshotId>,
    /// Files in the list.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Files that this snapshot added.
    pub new_files: u64,
    /// Why the filestore was read in full although a parent was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_because: Option<String>,
    /// Files that could not be read or do not match their names (at most 1,000 are listed).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// How many problems there were.
    #[serde(default)]
    pub problem_files: u64,
}

/// The facts of files that were stored as they came: the index names only this snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivalFacts {
    /// Files in the index.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
}
