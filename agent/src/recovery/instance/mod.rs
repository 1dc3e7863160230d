//! Restoring a whole instance: a base backup into a new data directory, recovery settings for its
//! WAL, and, where that is asked for, the server started until it is where it was to go.

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

/// In a directory that is being restored: what it will be. Gone when it is.
const MARKER_FILE: &str = "lifeboat-restore.json";
/// Largest marker that is read.
const MARKER_BYTES_MAX: u64 = 64 << 10;

/// What is asked for.
#[derive(Clone)]
pub struct InstanceRequest {
    /// The new data directory.
    pub data_dir: PathBuf,
    /// Whether an old one of the same cluster lies there, to build upon and to replace.
    pub delta: bool,
    /// From what, and where recovery ends.
    pub asked: PointAsked,
    /// What happens there.
    pub action: Action,
    /// One database, into a scratch directory: settings are those of a copy that is thrown away.
    pub only: Option<Only>,
    /// Old place (or name) of tablespaces, and their new ones.
    pub tablespaces: Vec<(String, PathBuf)>,
    /// In place of `lifeboat wal fetch`.
    pub restore_command: Option<String>,
    /// Whether archiving stays as the backup has it.
    pub keep_archiving: bool,
    /// Libraries without which its WAL cannot be replayed.
    pub preload: Vec<String>,
    /// Whether a server is started on it by us.
    pub starts: bool,
    /// Whether it becomes the real thing once it has recovered.
    pub as_production: bool,
    /// Who will own the files, where we are root.
    pub os_user: Option<String>,
    /// Whose manifests are believed.
    pub trust: Trust,
    /// What opens the backup.
    pub identities: Identities,
    /// Where they were read from, for `wal fetch`; the configuration's where empty.
    pub identity_files: Vec<PathBuf>,
    /// What a person typed.
    pub typed: Typed,
}

impl InstanceRequest {
    /// The command that asked for this, for another target.
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

/// Of a restore that will replace an old data directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Replaces {
    dir: PathBuf,
    old_state: PathBuf,
    /// The lines that it writes: what tells one restore from another.
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
            "lifeboat restore is running here, or was cut short: the same command continues".to_owned();
        let text = serde_json::to_vec_pretty(&Marker { snapshot: snapshot.clone(), note, replaces })
            .map_err(|e| Error::new(Kind::Internal, "cannot write a marker").because(e))?;
        dir.replace_durable(Path::new(MARKER_FILE), &text, None)
    }
}
