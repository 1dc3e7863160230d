//! Small records that commands of this host leave for each other, as JSON: what the last run came to.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Largest record that is read.
const BYTES_MAX: u64 = 64 << 10;
/// How long another command of this host may take to change it.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// The record; an empty one where there is none, or it is damaged: the next run replaces that.
///
/// # Errors
/// Where it cannot be read.
pub fn read<T: DeserializeOwned + Default>(file: &Path) -> Result<T> {
    match disk::read(file, BYTES_MAX) {
        Err(e) if e.kind() == Kind::NotFound => Ok(T::default()),
        bytes => Ok(serde_json::from_slice(&bytes?).unwrap_or_default()),
    }
}

/// Changes the record, durably; one command at a time. Blocking.
///
/// # Errors
/// `Busy` where another command does not end; those of the file system.
pub fn change<T: Serialize + DeserializeOwned + Default>(
    file: &Path,
    change: impl FnOnce(&mut T) -> Result<()>,
) -> Result<()> {
    if let Some(dir) = file.parent() {
        disk::create_private_dir(dir)?;
    }
    let _lock = locked(&file.with_extension("lock"))?;
    let mut record = read(file)?;
    change(&mut record)?;
    let bytes = serde_json::to_vec(&record)
        .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
    disk::replace_durable(file, &bytes)
}

/// The lock of a file that commands of this host change, one after the other. Blocking.
///
/// # Errors
/// `Busy` where it is not free in time.
pub fn locked(lock_file: &Path) -> Result<disk::FileLock> {
    let begun = clock::instant();
    loop {
        if let Some(lock) = disk::try_lock(lock_file)? {
            return Ok(lock);
        }
        if begun.elapsed() >= LOCK_LIMIT {
            let what = format!("another lifeboat command is still running: it holds {}", lock_file.display());
            return Err(Error::new(Kind::Busy, what));
        }
        clock::sleep_blocking(Duration::from_millis(50));
    }
}
