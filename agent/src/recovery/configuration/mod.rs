//! Configuration snapshots: found by release or by ID, read for a comparison, restored into a new directory.

mod content;
mod readme;
mod restore;

pub use content::contents;
pub use restore::{Restored, restore};

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::inventory::configuration::of_release;
use crate::inventory::take::{Wanted, Which};
use crate::names::{ReleaseId, SnapshotId};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Which configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigPick {
    /// The newest one of this release.
    Release(ReleaseId),
    /// This snapshot.
    Snapshot(SnapshotId),
}

impl std::str::FromStr for ConfigPick {
    type Err = Error;
    fn from_str(text: &str) -> Result<ConfigPick> {
        match text.parse::<SnapshotId>() {
            Ok(id) if id.kind() == SnapshotKind::Config.as_str() => Ok(ConfigPick::Snapshot(id)),
            _ => text.parse().map(ConfigPick::Release),
        }
    }
}

/// The whole manifest of a configuration, its signature checked.
///
/// # Errors
/// `NotFound`, `Signature`, `Usage` where the snapshot is of another kind, and those of the store.
pub async fn find(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    pick: &ConfigPick,
) -> Result<Manifest> {
    let id = match pick {
        ConfigPick::Snapshot(id) => id.clone(),
        ConfigPick::Release(release) => {
            let snapshots = Which::Kind(SnapshotKind::Config);
            let wanted = Wanted { snapshots, ..Wanted::default() };
            let inventory = Inventory::take(repository, trust, &wanted).await?;
            of_release(&inventory, release)?.manifest.id.clone()
        }
    };
    let manifest = repository.manifest(&id, origin, trust).await?;
    manifest.config_facts()?;
    Ok(manifest)
}
