//! What this host keeps of each checkpoint: the counters of its tenants at the point, which say later what
//! was written since. `<state_dir>/<instance>/checkpoints/<folder>/`, one folder a checkpoint. If it is lost,
//! a plan of a rollback says that these numbers are not known.

use std::path::{Path, PathBuf};

use crate::archive::path::escape;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName};

/// Largest file of counters that is read.
const BYTES_MAX: u64 = 256 << 20;

/// The directory of one checkpoint; `folder` is its name in the repository.
///
/// # Errors
/// `Internal` if `folder` is not a plain name, which is a bug.
pub fn dir(state_dir: &Path, instance: &InstanceName, folder: &str) -> Result<PathBuf> {
    let plain = !folder.is_empty() && !folder.contains(['/', '\0']) && folder != "." && folder != "..";
    match plain {
        true => Ok(state_dir.join(instance.as_str()).join("checkpoints").join(folder)),
        false => Err(Error::new(Kind::Internal, format!("{folder:?} is not the folder of a checkpoint"))),
    }
}

/// The file with a tenant's counters.
///
/// # Errors
/// As [`dir`].
pub fn counters_file(
    state_dir: &Path,
    instance: &InstanceName,
    folder: &str,
    tenant: &TenantName,
) -> Result<PathBuf> {
    let name = format!("counters-{}.json", escape(tenant.as_str().as_bytes()));
    Ok(dir(state_dir, instance, folder)?.join(name))
}

/// Keeps a tenant's counters, durably; those of an earlier try are replaced.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep_counters(file: &Path, document: &[u8]) -> Result<()> {
    if let Some(dir) = file.parent() {
        disk::create_private_dir(dir)?;
    }
    disk::replace_durable(file, document)
}

/// What [`keep_counters`] kept; `None` where there is nothing.
///
/// # Errors
/// Where the file cannot be read.
pub fn counters(file: &Path) -> Result<Option<Vec<u8>>> {
    match disk::read(file, BYTES_MAX) {
        Err(e) if e.kind() == Kind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_kept_in_their_place_and_replaced() {
        let state = tempfile::tempdir().unwrap();
        let (instance, tenant) = ("prod".parse().unwrap(), "shop é\\1".parse().unwrap());
        let file = counters_file(state.path(), &instance, "2026.11", &tenant).unwrap();
        assert_eq!(
            file.strip_prefix(state.path()).unwrap(),
            Path::new("prod/checkpoints/2026.11/counters-shop é%5C1.json")
        );
        assert_eq!(counters(&file).unwrap(), None);
        keep_counters(&file, b"one").unwrap();
        keep_counters(&file, b"two").unwrap();
        assert_eq!(counters(&file).unwrap().as_deref(), Some(b"two".as_slice()));
        for folder in ["", ".", "..", "a/b"] {
            assert!(dir(state.path(), &instance, folder).is_err(), "{folder:?}");
        }
    }
}
