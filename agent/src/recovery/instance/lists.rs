//! Reads the lists of a base backup: its index and its layout.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::archive::base::{ClusterLayout, LAYOUT_NAME};
use crate::archive::manifest::Manifest;
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};
use crate::recovery::instance::wanted::Wanted;
use crate::repository::Repository;

/// Reads index and layout; a wrong identity is noticed here.
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
