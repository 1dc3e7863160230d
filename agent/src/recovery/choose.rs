//! Choosing a snapshot: the newest that fits, with everything that had to be passed over said.

use futures::{StreamExt, stream};

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName, shell_word};
use crate::recovery::Pick;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Manifests fetched at a time.
const MANIFESTS_AT_ONCE: usize = 16;

/// A snapshot to restore.
pub struct Chosen {
    /// Its manifest.
    pub manifest: Manifest,
    /// Snapshots that were passed over and why: a person should know that they are not the newest.
    pub passed_over: Vec<String>,
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
    let mut passed_over = Vec::new();
    let manifest = match pick {
        Pick::Snapshot(id) => {
            let manifest =
                repository.manifest(id, origin, trust).await.map_err(|e| unknown_snapshot(e, id))?;
            if manifest.tenant.as_ref() != Some(tenant) {
                let whose = manifest.tenant.map_or("the instance".to_owned(), |t| t.to_string());
                return Err(Error::new(Kind::Usage, format!("snapshot {id} is of {whose}, not of {tenant}"))
                    .next(format!("lifeboat list --tenant {}", shell_word(tenant.as_str()))));
            }
            if kind == SnapshotKind::Dump {
                manifest
                    .dump_facts()
                    .map_err(|e| e.next("give the ID of a dump; it brings its filestore with it"))?;
            }
            manifest
        }
        Pick::Latest | Pick::Release(_) => {
            newest(repository, origin, trust, tenant, (kind, pick), &mut passed_over).await?.ok_or_else(
                || {
                    let of = match pick {
                        Pick::Release(release) => format!(" tied to release {release}"),
                        _ => String::new(),
                    };
                    let mut error = Error::new(
                        Kind::NotFound,
                        format!(
                            "no {kind} of {tenant}{of} in {} for instance {}",
                            repository.store().url(),
                            repository.instance()
                        ),
                    )
                    .next("lifeboat list shows what there is");
                    if !passed_over.is_empty() {
                        error = error.because(format!("passed over: {}", passed_over.join("; ")));
                    }
                    error
                },
            )?
        }
    };
    Ok(Chosen { manifest, passed_over })
}

fn unknown_snapshot(e: Error, id: &SnapshotId) -> Error {
    match e.kind() {
        Kind::NotFound => Error::new(Kind::NotFound, format!("there is no snapshot {id}"))
            .because(e)
            .next("lifeboat list shows what there is"),
        _ => e,
    }
}

async fn newest(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    tenant: &TenantName,
    (kind, pick): (SnapshotKind, &Pick),
    passed_over: &mut Vec<String>,
) -> Result<Option<Manifest>> {
    let (ids, _) = repository.snapshot_ids().await?;
    let of_kind = ids.into_iter().rev().filter(|id| id.kind() == kind.as_str());
    let mut manifests = stream::iter(of_kind)
        .map(|id| async move { (repository.manifest(&id, origin, trust).await, id) })
        .buffered(MANIFESTS_AT_ONCE);
    while let Some((manifest, id)) = manifests.next().await {
        match manifest {
            Ok(manifest) => {
                let fits = match pick {
                    Pick::Release(release) => manifest.release.as_ref() == Some(release),
                    _ => true,
                };
                if fits && manifest.kind == kind && manifest.tenant.as_ref() == Some(tenant) {
                    return Ok(Some(manifest));
                }
            }
            Err(e) if e.kind() == Kind::NotFound => {} // unfinished
            // Whose it is cannot be known, so it may have been the newest.
            Err(e) if matches!(e.kind(), Kind::Signature | Kind::Integrity | Kind::Repository) => {
                passed_over.push(format!("{id}: {}", e.what()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}
