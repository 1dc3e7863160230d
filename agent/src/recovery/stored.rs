//! What the repository alone says about a restore: the inventory for its plan, read without an identity or
//! a server.

use crate::archive::manifest::SnapshotKind;
use crate::clock;
use crate::error::Result;
use crate::inventory::Inventory;
use crate::inventory::pick;
use crate::inventory::plan::{Asked, DumpAsked, DumpPlan, Plan, PointAsked, PointPlan};
use crate::inventory::take::{Wanted, Which};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// The plan, as far as it can be made without decrypting anything.
///
/// # Errors
/// As [`crate::inventory::plan::plan`].
pub async fn plan(repository: &Repository, trust: &Trust, asked: &Asked) -> Result<Plan> {
    match asked {
        Asked::Dump(asked) => dump(repository, trust, asked).await.map(Plan::Dump),
        Asked::Point(asked) => point(repository, trust, asked).await.map(Plan::Point),
    }
}

/// The complete plan of a restore from a dump.
///
/// # Errors
/// As [`DumpPlan::new`].
pub async fn dump(repository: &Repository, trust: &Trust, asked: &DumpAsked) -> Result<DumpPlan> {
    let snapshots = Which::picked(SnapshotKind::Dump, &asked.pick);
    let mut inventory =
        Inventory::take(repository, trust, &Wanted { snapshots, ..Wanted::default() }).await?;
    let chosen = pick::choose(&inventory, &asked.tenant, SnapshotKind::Dump, &asked.pick)?;
    let id = chosen.snapshot.manifest.id.clone();
    inventory.read_needs(repository, trust, &id).await?;
    DumpPlan::new(&inventory, asked, clock::now())
}

/// The base backups that may be used, on request with the WAL as far as it is known without an identity.
///
/// # Errors
/// As [`Inventory::take`].
pub async fn bases(
    repository: &Repository,
    trust: &Trust,
    asked: &PointAsked,
    wal: bool,
) -> Result<Inventory> {
    let snapshots = Which::bases(asked.snapshot.as_ref());
    let mut inventory = Inventory::take(repository, trust, &Wanted { snapshots, wal }).await?;
    if let Some(id) = &asked.snapshot {
        inventory.read_needs(repository, trust, id).await?;
    }
    Ok(inventory)
}

async fn point(repository: &Repository, trust: &Trust, asked: &PointAsked) -> Result<PointPlan> {
    let inventory = bases(repository, trust, asked, true).await?;
    PointPlan::new(&inventory, asked, clock::now())
}
