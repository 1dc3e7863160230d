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

/// A dump and the filestore that goes with it.
pub struct Chosen {
    /// The dump.
    pub dump: Manifest,
    /// Its filestore, where it has one.
    pub filestore: Option<Manifest>,
    /// Snapshots that were passed over and why: a person should know that they are not the newest.
    pub passed_over: Vec<String>,
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
    let mut passed_over = Vec::new();
    let dump = match pick {
        Pick::Snapshot(id) => {
            let manifest =
                repository.manifest(id, origin, trust).await.map_err(|e| unknown_snapshot(e, id))?;
            if manifest.tenant.as_ref() != Some(tenant) {
                let whose = manifest.tenant.map_or("the instance".to_owned(), |t| t.to_string());
                return Err(Error::new(Kind::Usage, format!("snapshot {id} is of {whose}, not of {tenant}"))
                    .next(format!("lifeboat list --tenant {}", shell_word(tenant.as_str()))));
            }
            manifest
                .dump_facts()
                .map_err(|e| e.next("give the ID of a dump; it brings its filestore with it"))?;
            manifest
        }
        Pick::Latest | Pick::Release(_) => {
            newest(repository, origin, trust, tenant, pick, &mut passed_over).await?.ok_or_else(|| {
                let of = match pick {
                    Pick::Release(release) => format!(" tied to release {release}"),
                    _ => String::new(),
                };
                let mut error = Error::new(
                    Kind::NotFound,
                    format!(
                        "no dump of {tenant}{of} in {} for instance {}",
                        repository.store().url(),
                        repository.instance()
                    ),
                )
                .next("lifeboat list shows what there is");
                if !passed_over.is_empty() {
                    error = error.because(format!("passed over: {}", passed_over.join("; ")));
                }
                error
            })?
        }
    };
    let filestore = match dump.dump.as_ref().and_then(|facts| facts.filestore.as_ref()) {
        None => None,
        Some(link) => {
            let manifest = repository.manifest(&link.snapshot, origin, trust).await.map_err(|e| {
                unknown_snapshot(e, &link.snapshot).context(format!("find the filestore of dump {}", dump.id))
            })?;
            manifest.filestore_facts()?;
            Some(manifest)
        }
    };
    Ok(Chosen { dump, filestore, passed_over })
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
    pick: &Pick,
    passed_over: &mut Vec<String>,
) -> Result<Option<Manifest>> {
    let (ids, _) = repository.snapshot_ids().await?;
    let dumps = ids.into_iter().rev().filter(|id| id.as_str().contains(&format!("-{}-", SnapshotKind::Dump)));
    let mut manifests = stream::iter(dumps)
        .map(|id| async move { (repository.manifest(&id, origin, trust).await, id) })
        .buffered(MANIFESTS_AT_ONCE);
    while let Some((manifest, id)) = manifests.next().await {
        match manifest {
            Ok(manifest) => {
                let fits = match pick {
                    Pick::Release(release) => manifest.release.as_ref() == Some(release),
                    _ => true,
                };
                if fits && manifest.kind == SnapshotKind::Dump && manifest.tenant.as_ref() == Some(tenant) {
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
