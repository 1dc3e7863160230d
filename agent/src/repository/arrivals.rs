//! Files of filestores as they came: which batches of them there are, and their manifests.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use crate::archive::manifest::{Origin, SnapshotKind};
use crate::error::Result;
use crate::names::SnapshotId;
use crate::repository::snapshots::{Found, MANIFESTS_AT_ONCE, Trust};
use crate::repository::{Repository, layout};

impl Repository {
    /// The IDs of all batches, oldest first, finished or not: one listing a day of them.
    ///
    /// # Errors
    /// That of the store.
    pub async fn arrival_ids(&self) -> Result<Vec<SnapshotId>> {
        let folder = layout::arrivals(self.instance());
        let mut days = self.store().list_dirs(&folder).await?;
        days.sort();
        let mut ids: Vec<SnapshotId> = Vec::new();
        for day in days {
            let names = self.store().list_dirs(&format!("{folder}/{day}")).await?;
            let parsed = names.iter().filter_map(|name| name.parse().ok());
            // Only where it is looked for by its name.
            ids.extend(
                parsed.filter(|id: &SnapshotId| {
                    id.kind() == SnapshotKind::Arrivals.as_str() && id.day() == day
                }),
            );
        }
        ids.sort();
        Ok(ids)
    }

    /// The manifests of batches, each with its own outcome.
    pub async fn arrivals(
        &self,
        ids: &[SnapshotId],
        origin: &Origin,
        trust: &Trust,
    ) -> BTreeMap<SnapshotId, Result<Found>> {
        stream::iter(ids)
            .map(|id| async move { (id.clone(), self.found(id, origin, trust).await) })
            .buffer_unordered(MANIFESTS_AT_ONCE)
            .collect()
            .await
    }
}
