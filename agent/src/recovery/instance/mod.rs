//! Restores a whole instance: a base backup into a new data directory, recovery settings for its WAL, and on
//! request starts the server until it has reached the target.

pub mod account;
mod aim;
pub mod apply;
pub mod arrival;
pub mod aside;
pub mod bind;
mod choose;
mod closed;
pub mod conf;
pub mod copies;
mod delta;
mod extract;
pub mod feed;
mod large_files;
mod lines;
mod lists;
mod marks;
pub mod narrow;
mod newer_tablespaces;
mod packs;
mod peek;
mod pieces;
mod place;
pub mod plan;
pub mod production;
pub mod production_plan;
pub mod proof;
mod raise;
mod readable;
mod run;
pub mod settings;
mod settle_archive;
pub mod sorting;
mod spool;
pub mod start;
mod stored;
pub mod switched_off;
pub mod takeover;
mod tree;
mod wanted;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::seal::Identities;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::inventory::plan::PointAsked;
use crate::inventory::target::Action;
use crate::names::SnapshotId;
use crate::names::typed::{Typed, Without};
use crate::recovery::instance::narrow::Only;
use crate::repository::snapshots::Trust;

/// The marker in a directory that is being restored; removed when the restore is complete.
const MARKER_FILE: &str = "lifeboat-restore.json";
/// Largest marker that is read.
const MARKER_BYTES_MAX: u64 = 64 << 10;

/// What to restore.
#[derive(Clone)]
pub struct InstanceRequest {
    /// The data directory to restore into: absent or empty, or left by an earlier try of the same restore;
    /// with `delta` an old data directory of the same cluster, which is replaced.
    pub data_dir: PathBuf,
    /// Whether `data_dir` is an old data directory of the same cluster, to use and to replace.
    pub delta: bool,
    /// The source, and where recovery ends.
    pub asked: PointAsked,
    /// What the server does at the target.
    pub action: Action,
    /// Restore one database only, into a scratch directory with the settings of a temporary copy.
    pub only: Option<Only>,
    /// Old place (or name) of tablespaces, and their new ones.
    pub tablespaces: Vec<(String, PathBuf)>,
    /// A `restore_command` instead of `lifeboat wal fetch`.
    pub restore_command: Option<String>,
    /// Whether archiving stays as in the backup.
    pub keep_archiving: bool,
    /// Libraries that replay of its WAL needs.
    pub preload: Vec<String>,
    /// Whether we start a server on it.
    pub starts: bool,
    /// Whether it becomes production after recovery.
    pub as_production: bool,
    /// The owner of the files, if we are root.
    pub os_user: Option<String>,
    /// Whose manifests are trusted.
    pub trust: Trust,
    /// The identities that decrypt the backup.
    pub identities: Identities,
    /// Their files, for `wal fetch`; if empty, those of the configuration.
    pub identity_files: Vec<PathBuf>,
    /// The command line as typed.
    pub typed: Typed,
}

impl InstanceRequest {
    /// The user's command, with another target.
    fn command(&self, target: &str) -> String {
        let targets = ["--to", "--to-time", "--to-lsn", "--to-restore-point"].map(Without::Value);
        let (base, all) = (Without::Value("--snapshot"), &targets[..]);
        match target.starts_with("--snapshot ") {
            true => self.typed.again(&[all, &[base]].concat(), target),
            false => self.typed.again(all, target),
        }
    }

    fn accepts_unsigned(&self) -> bool {
        matches!(self.trust, Trust::Anyone)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Marker {
    snapshot: SnapshotId,
    note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaces: Option<Replaces>,
}

/// The marker of a restore that will replace an old data directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Replaces {
    dir: PathBuf,
    old_state: PathBuf,
    /// The lines that it writes; they distinguish one restore from another.
    settings: String,
}

impl Marker {
    fn read(dir: &Dir) -> Result<Option<Marker>> {
        match dir.read(Path::new(MARKER_FILE), MARKER_BYTES_MAX) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn write(dir: &Dir, snapshot: &SnapshotId, replaces: Option<Replaces>) -> Result<()> {
        let note =
            "lifeboat restore is running here or was interrupted: the same command continues it".to_owned();
        let text = serde_json::to_vec_pretty(&Marker { snapshot: snapshot.clone(), note, replaces })
            .map_err(|e| Error::new(Kind::Internal, "cannot write a marker").because(e))?;
        dir.replace_durable(Path::new(MARKER_FILE), &text, None)
    }
}
