//! What a base backup is made of, read: the manifests of its chain, its index, its layout.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::archive::base::{ClusterLayout, LAYOUT_NAME};
use crate::archive::manifest::{Manifest, Origin};
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::recovery::instance::Request;
use crate::recovery::instance::wanted::Wanted;
use crate::repository::Repository;

/// The manifests of the chain.
pub async fn chain(
    repository: &Repository,
    origin: &Origin,
    request: &Request,
    base: &Manifest,
) -> Result<HashMap<SnapshotId, Manifest>> {
    let mut manifests = HashMap::new();
    for id in &base.base_facts()?.chain {
        let found = repository.manifest(id, origin, &request.trust).await.map_err(|e| {
            e.effect(format!("base backup {} cannot be restored without it", base.id))
                .next("lifeboat verify; another base backup: --snapshot")
                .context(format!("find snapshot {id} of its chain"))
        })?;
        manifests.insert(id.clone(), found);
    }
    Ok(manifests)
}

/// Index and layout; a wrong identity shows here.
pub async fn read_lists(
    repository: &Repository,
    base: &Manifest,
    identities: &Arc<Identities>,
) -> Result<(Wanted, ClusterLayout)> {
    let (repository, base, identities) = (repository.clone(), base.clone(), identities.clone());
    let read = move || {
        let runtime = Handle::current();
        let wanted = Wanted::read(&repository, &runtime, &base, &identities)?;
        let object = base.object(LAYOUT_NAME)?;
        let layout = repository.read_sealed(&runtime, &base.id, object, &identities, |input| {
            serde_json::from_reader(input).map_err(|e| {
                Error::new(Kind::Integrity, format!("the layout of snapshot {} cannot be read", base.id))
                    .because(e)
            })
        })?;
        Ok((wanted, layout))
    };
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading the index panicked").because(e)))
}
