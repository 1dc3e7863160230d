//! Compares `lifeboat.json` and `instance.json` with what the signed manifests say of them. If one byte of
//! them was altered, no manifest fits its place any more. That is one finding, not one for each snapshot, and
//! the rest is checked all the same.

use crate::archive::digest::Sha256;
use crate::archive::manifest::Origin;
use crate::error::Result;
use crate::names::SnapshotId;
use crate::repository::snapshots::{Found, Trust};
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Finding, Findings};

/// Snapshots with the outcome of each.
type Outcomes = Vec<(SnapshotId, Result<Found>)>;

/// Every snapshot, by name. If none belongs to this place, and all signed ones belong to one and the same
/// other place, then `lifeboat.json` or `instance.json` was altered: that is a finding, and the snapshots
/// count.
pub async fn snapshots(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    findings: &Findings,
) -> Result<Outcomes> {
    let all = listed(repository, origin, trust).await?;
    if all.iter().any(|(_, found)| matches!(found, Ok(Found::Snapshot(_)))) {
        return Ok(all);
    }
    let mut signed: Option<Origin> = None;
    let mut lost = Vec::new();
    for (id, _) in all.iter().filter(|(_, found)| found.is_err()) {
        let Ok((manifest, _)) = repository.signed_manifest(id, trust).await else { continue };
        if signed.as_ref().is_some_and(|signed| *signed != manifest.origin) {
            return Ok(all);
        }
        signed = Some(manifest.origin);
        lost.push(id.clone());
    }
    let Some(signed) = signed else { return Ok(all) };
    let compare = |key: &str, here: Sha256, there: Sha256| {
        if here != there {
            let what = format!("its SHA-256 is {here}, but all signed manifests say {there}: it was altered");
            findings.add(Finding { object: key.to_owned(), what, lost: lost.clone() });
        }
    };
    compare(layout::META, origin.repository_sha256, signed.repository_sha256);
    let instance = layout::instance_meta(repository.instance());
    compare(&instance, origin.instance_sha256, signed.instance_sha256);
    listed(repository, &signed, trust).await
}

/// Snapshots and batches of arrivals.
async fn listed(repository: &Repository, origin: &Origin, trust: &Trust) -> Result<Outcomes> {
    let mut all = repository.all_snapshots(origin, trust).await?;
    let arrivals = repository.arrival_ids().await?;
    all.extend(repository.arrivals(&arrivals, origin, trust).await);
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(all)
}
