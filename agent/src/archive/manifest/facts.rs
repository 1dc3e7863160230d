//! What a manifest says of its own kind of snapshot, and of no other.

use serde::{Deserialize, Serialize};

use super::{Manifest, SnapshotKind};
use crate::archive::base::BaseFacts;
use crate::archive::digest::Sha256;
use crate::archive::elsewhere::{Elsewhere, other_storage};
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;

/// The facts of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Of a dump.
    Dump(DumpFacts),
    /// Of a filestore.
    Filestore(FilestoreFacts),
    /// Roles and tablespaces: there is nothing more to say.
    Globals,
    /// Of a base backup.
    Base(BaseFacts),
    /// Of files that were stored as they came.
    Arrivals(ArrivalFacts),
}

impl Facts {
    /// Of what.
    pub fn kind(&self) -> SnapshotKind {
        match self {
            Facts::Dump(_) => SnapshotKind::Dump,
            Facts::Filestore(_) => SnapshotKind::Filestore,
            Facts::Globals => SnapshotKind::Globals,
            Facts::Base(_) => SnapshotKind::Base,
            Facts::Arrivals(_) => SnapshotKind::Arrivals,
        }
    }
}

impl Manifest {
    /// What it is of.
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

    /// The filestore that goes with a dump.
    pub fn link(&self) -> Option<&FilestoreLink> {
        self.dump()?.filestore.as_ref()
    }

    fn wrong_kind(&self, wanted: &str) -> Error {
        Error::new(Kind::Usage, format!("snapshot {} is of kind {}, not {wanted}", self.id, self.kind()))
    }
}

/// Of a dump.
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
    /// The filestore that goes with it; absent when only the database was asked for.
    pub filestore: Option<FilestoreLink>,
}

/// The filestore snapshot of a dump, and what of it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilestoreLink {
    /// The filestore snapshot, taken after the database's point.
    pub snapshot: SnapshotId,
    /// Distinct `store_fname` in the dumped database.
    pub referenced: u64,
    /// Files that the database references and the repository does not hold whole.
    pub missing_files: u64,
    /// The first of them (at most 1,000).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingFile>,
    /// What its rows name in other storages, which is not in `missing_files`. Older programs counted it there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
    /// How the garbage collector was kept out.
    pub fence: String,
}

impl FilestoreLink {
    /// How many files are missing; what an older program counted although it lies in another storage is not.
    pub fn missing_count(&self) -> u64 {
        let elsewhere = self.missing.iter().filter(|file| other_storage(&file.store_fname).is_some());
        self.missing_files.saturating_sub(elsewhere.count() as u64)
    }

    /// Those of them that are named.
    pub fn missing_named(&self) -> impl Iterator<Item = &MissingFile> {
        self.missing.iter().filter(|file| other_storage(&file.store_fname).is_none())
    }
}

/// One file that a row names and the repository does not hold whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFile {
    /// `ir_attachment.store_fname`.
    pub store_fname: String,
    /// Why, in a sentence, and whether the source had lost it before.
    pub why: String,
    /// An earlier backup of this tenant's filestore, or a batch, that holds it: restores look there.
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

/// Of a filestore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilestoreFacts {
    /// Whether the index holds all files or the difference to the parent.
    pub complete: bool,
    /// Snapshots whose indexes, in this order, give the list of files: a complete one first, this
    /// one last.
    pub index_chain: Vec<SnapshotId>,
    /// Snapshots whose packs hold content of the list, oldest first.
    pub sources: Vec<SnapshotId>,
    /// Files in the list.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Files that this snapshot added.
    pub new_files: u64,
    /// Why the filestore was read in full, where it was and a parent could be expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_because: Option<String>,
    /// Files that could not be read or are not what their name says (at most 1,000 are told).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// How many problems there were.
    #[serde(default)]
    pub problem_files: u64,
}

/// Of files that were stored as they came: the index names no snapshot but its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivalFacts {
    /// Files in the index.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
}
