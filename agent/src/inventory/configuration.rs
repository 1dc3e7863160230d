//! Which configuration snapshot belongs to a release.

use crate::archive::manifest::SnapshotKind;
use crate::error::{Error, Kind, Result};
use crate::inventory::pick::oldest_first;
use crate::inventory::{Inventory, Snapshot};
use crate::names::ReleaseId;

/// Releases that an error names.
const NAMED_MAX: usize = 5;

/// The configurations that are stored, the oldest first.
pub fn stored(inventory: &Inventory) -> Vec<&Snapshot> {
    oldest_first(inventory.of_kind(SnapshotKind::Config, None))
}

/// The newest configuration of a release.
///
/// # Errors
/// `NotFound` where there is none; the first error of a manifest that is not believed or could not be read,
/// because it may be the one.
pub fn of_release<'a>(inventory: &'a Inventory, release: &ReleaseId) -> Result<&'a Snapshot> {
    let all = stored(inventory);
    if let Some(found) = all.iter().rev().find(|one| one.manifest.release.as_ref() == Some(release)) {
        return Ok(found);
    }
    if let Some((id, e)) = inventory.not_believed().into_iter().next() {
        return Err(e.context(format!("look for release {release} in snapshot {id}")));
    }
    let mut known: Vec<&str> =
        all.iter().rev().filter_map(|one| one.manifest.release.as_ref()).map(ReleaseId::as_str).collect();
    known.dedup();
    known.truncate(NAMED_MAX);
    let known = if known.is_empty() { "none has a release".to_owned() } else { known.join(", ") };
    Err(Error::new(Kind::NotFound, format!("no configuration of release {release} is stored"))
        .because(format!("configurations are stored of these releases, the newest first: {known}"))
        .next("lifeboat config list shows all of them"))
}
