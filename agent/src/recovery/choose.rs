//! Chooses the snapshot to restore from the inventory, then reads all of it.

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::error::Result;
use crate::inventory::Inventory;
use crate::inventory::pick::{self, Pick};
use crate::inventory::take::{Wanted, Which};
use crate::names::TenantName;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// A snapshot to restore.
pub struct Chosen {
    /// Its manifest.
    pub manifest: Manifest,
    /// Warnings about the choice: skipped snapshots, wrong clocks.
    pub warnings: Vec<String>,
}

/// Finds the snapshot: a dump, or a backup of the filestore.
///
/// # Errors
/// `NotFound` if none fits; for a snapshot named by its ID, whatever is wrong with it.
pub async fn choose(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    tenant: &TenantName,
    (kind, pick): (SnapshotKind, &Pick),
) -> Result<Chosen> {
    let wanted = Wanted { snapshots: Which::picked(kind, pick), ..Wanted::default() };
    let inventory = Inventory::take(repository, trust, &wanted).await?;
    let chosen = pick::choose(&inventory, tenant, kind, pick)?;
    let skipped = chosen.skipped.iter();
    let mut warnings: Vec<String> =
        skipped.map(|(id, why)| format!("snapshot {id}, which may be newer, was skipped: {why}")).collect();
    let id = &chosen.snapshot.manifest.id;
    warnings.extend(chosen.snapshot.clock_note().map(|note| format!("snapshot {id} was {note}")));
    Ok(Chosen { manifest: repository.manifest(id, origin, trust).await?, warnings })
}
