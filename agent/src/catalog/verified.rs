//! Damage that checks of the repository have found and no later check has found repaired: `lifeboat status`
//! reports it until then. If it is lost with the state directory, the next check finds it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::record;
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, SnapshotId};

/// Largest file that is read: about 200 bytes per broken snapshot.
const BYTES_MAX: u64 = 64 << 20;

/// A snapshot that cannot be restored completely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// The first object that is the cause.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Whether the object belongs to the snapshot itself: then later snapshots that need this one are in
    /// doubt, too.
    pub own: bool,
    /// Whether only a check that decodes everything can see it.
    pub deep: bool,
    /// When it was first found.
    pub since: Timestamp,
    /// When it was last found: the check has judged everything that was stored then.
    pub seen: Timestamp,
}

/// The findings of one repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// The repository's identifier.
    pub repository: String,
    /// When the last check ended.
    pub last: Option<Timestamp>,
    /// Snapshots that cannot be restored completely.
    pub broken: BTreeMap<SnapshotId, Broken>,
    /// WAL that has changed since it was stored: how many objects, and the first of them.
    pub wal: Option<BrokenWal>,
}

/// WAL that has changed since it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokenWal {
    /// How many objects.
    pub objects: u64,
    /// The first.
    pub first: String,
    /// When it was first found.
    pub since: Timestamp,
}

fn file(state_dir: &Path, instance: &InstanceName) -> PathBuf {
    state_dir.join(instance.as_str()).join("verified.json")
}

impl Verified {
    /// The findings of this repository; empty where there are none, or those of another repository.
    ///
    /// # Errors
    /// Where the file cannot be read or is damaged.
    pub fn read(state_dir: &Path, instance: &InstanceName, repository: &str) -> Result<Verified> {
        let file = file(state_dir, instance);
        let none = Verified { repository: repository.to_owned(), ..Verified::default() };
        let bytes = match disk::read(&file, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == Kind::NotFound => return Ok(none),
            Err(e) => return Err(e),
        };
        let read: Verified = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(
                Kind::Io,
                format!("{} is damaged: it should contain the findings of lifeboat verify", file.display()),
            )
            .because(e)
            .next("remove that file, then run lifeboat verify: it finds the damage again")
        })?;
        Ok(if read.repository == repository { read } else { none })
    }

    /// Changes the findings, durably; one check at a time. Blocking.
    pub fn update(
        state_dir: &Path,
        instance: &InstanceName,
        repository: &str,
        change: impl FnOnce(&mut Verified),
    ) -> Result<()> {
        let file = file(state_dir, instance);
        disk::create_private_dir(&state_dir.join(instance.as_str()))?;
        let _lock = record::locked(&file.with_extension("lock"))?;
        let mut verified = Verified::read(state_dir, instance, repository)?;
        change(&mut verified);
        let bytes = serde_json::to_vec_pretty(&verified).map_err(|e| {
            Error::new(Kind::Internal, "cannot write the findings of lifeboat verify").because(e)
        })?;
        disk::replace_durable(&file, &bytes)
    }
}
