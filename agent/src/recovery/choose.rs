//! The snapshot to restore: chosen over the inventory, then read whole.

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
    /// What a person should know of the choice: snapshots that were passed over, clocks that were wrong.
    pub warnings: Vec<String>,
}

/// Finds the snapshot: a dump, or a backup of the filestore.
///
/// # Errors
/// `NotFound` where none fits; for a snapshot asked for by its ID whatever is wrong with it.
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
    let passed_over = chosen.passed_over.iter();
    let mut warnings: Vec<String> = passed_over
        .map(|(id, why)| format!("snapshot {id}, which may be newer, was skipped: {why}"))
        .collect();
    let id = &chosen.snapshot.manifest.id;
    warnings.extend(chosen.snapshot.clock_note().map(|note| format!("snapshot {id} was {note}")));
    Ok(Chosen { manifest: repository.manifest(id, origin, trust).await?, warnings })
}
