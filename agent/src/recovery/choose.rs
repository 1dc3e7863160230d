//! The dump to restore, and its filestore: chosen over the inventory, then read whole.

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::error::Result;
use crate::inventory::Inventory;
use crate::inventory::pick::{self, Pick};
use crate::inventory::take::{Wanted, Which};
use crate::names::TenantName;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// A dump and the filestore that goes with it.
pub struct Chosen {
    /// The dump.
    pub dump: Manifest,
    /// Its filestore, where it has one.
    pub filestore: Option<Manifest>,
    /// What a person should know of the choice: snapshots that were passed over, clocks that were wrong.
    pub warnings: Vec<String>,
}

/// Finds the snapshot.
///
/// # Errors
/// `NotFound` where none fits; for a snapshot asked for by its ID whatever is wrong with it.
pub async fn choose(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    tenant: &TenantName,
    pick: &Pick,
) -> Result<Chosen> {
    let snapshots = match pick {
        Pick::Snapshot(id) => Which::Ids(vec![id.clone()]),
        Pick::Latest | Pick::Release(_) => Which::Kind(SnapshotKind::Dump),
    };
    let wanted = Wanted { snapshots, ..Wanted::default() };
    let inventory = Inventory::take(repository, trust, &wanted).await?;
    let chosen = pick::dump(&inventory, tenant, pick)?;
    let passed_over = chosen.passed_over.iter();
    let mut warnings: Vec<String> = passed_over
        .map(|(id, why)| format!("a newer snapshot may exist and was passed over: {id}: {why}"))
        .collect();
    let id = &chosen.dump.manifest.id;
    warnings.extend(chosen.dump.clock_note().map(|note| format!("snapshot {id} was {note}")));
    let dump = repository.manifest(id, origin, trust).await?;
    let filestore = match dump.dump.as_ref().and_then(|facts| facts.filestore.as_ref()) {
        None => None,
        Some(link) => {
            let found = repository.manifest(&link.snapshot, origin, trust).await;
            let manifest = found.map_err(|e| {
                e.next("lifeboat list shows what there is")
                    .context(format!("find the filestore of dump {id}"))
            })?;
            manifest.filestore_facts()?;
            Some(manifest)
        }
    };
    Ok(Chosen { dump, filestore, warnings })
}
