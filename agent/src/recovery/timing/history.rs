//! The restores that this host has done: a file of lines, the newest at its end, one for each instance.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::InstanceName;

use super::Restore;

/// The file in the instance's directory of the state.
const FILE: &str = "restores.jsonl";
/// Largest file that is read; a longer one is begun afresh.
const BYTES_MAX: u64 = 4 << 20;
/// What takes longer was no restore.
const SECONDS_MAX: f64 = 30.0 * 86_400.0;
/// Lines that are kept when the file is shortened.
const KEPT: usize = 500;

/// Where they are noted.
pub(super) struct History {
    file: PathBuf,
}

impl History {
    pub(super) fn of(state_dir: &Path, instance: &InstanceName) -> History {
        History { file: state_dir.join(instance.as_str()).join(FILE) }
    }

    /// All that can be read, the oldest first. What cannot be read teaches nothing and hinders nothing.
    pub(super) fn read(&self) -> Vec<Restore> {
        let text = disk::read_text(&self.file, BYTES_MAX).unwrap_or_default();
        let restores = text.lines().filter_map(|line| serde_json::from_str::<Restore>(line).ok());
        restores.filter(|one| one.seconds > 0.0 && one.seconds < SECONDS_MAX).collect()
    }

    pub(super) fn add(&self, restore: &Restore) -> Result<()> {
        if let Some(dir) = self.file.parent() {
            disk::create_private_dir(dir)?;
        }
        let line = |one: &Restore| {
            serde_json::to_string(one)
                .map(|line| line + "\n")
                .map_err(|e| Error::new(Kind::Internal, "cannot write the time of a restore").because(e))
        };
        let is_large = disk::metadata(&self.file)?.is_some_and(|meta| meta.len() > BYTES_MAX / 2);
        let known = if is_large { self.read() } else { Vec::new() };
        if !is_large {
            return disk::append(&self.file, line(restore)?.as_bytes());
        }
        let newest = known.iter().skip(known.len().saturating_sub(KEPT)).chain([restore]);
        let text = newest.map(line).collect::<Result<String>>()?;
        disk::replace_durable(&self.file, text.as_bytes())
    }
}
