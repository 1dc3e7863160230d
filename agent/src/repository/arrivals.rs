//! Batches of files that were stored as they came: which ones exist, and their manifests.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::manifest::{self, Origin, SnapshotKind};
use crate::error::Result;
use crate::names::SnapshotId;
use crate::repository::snapshots::{Found, MANIFESTS_AT_ONCE, Trust};
use crate::repository::{Repository, layout};

impl Repository {
    /// The IDs of all batches, oldest first, finished or not: one listing per day of them.
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
            // Only where a lookup by name would find it.
            ids.extend(
                parsed.filter(|id: &SnapshotId| {
                    id.kind() == SnapshotKind::Arrivals.as_str() && id.day() == day
                }),
            );
        }
        ids.sort();
        Ok(ids)
    }

    /// The IDs of all batches and other snapshots that have a manifest, whoever wrote it: one listing of
    /// everything.
    ///
    /// # Errors
    /// That of the store.
    pub async fn whole_ids(&self) -> Result<Vec<SnapshotId>> {
        let mut whole = Vec::new();
        for folder in [layout::arrivals(self.instance()), layout::snapshots(self.instance())] {
            let mut listed = self.store().list(&folder);
            while let Some(info) = listed.try_next().await? {
                let folder = info.key.strip_suffix(manifest::NAME).and_then(|key| key.strip_suffix('/'));
                let id = folder.and_then(|folder| folder.rsplit('/').next()?.parse().ok());
                whole.extend(id.filter(|id| layout::object(self.instance(), id, manifest::NAME) == info.key));
            }
        }
        Ok(whole)
    }

    /// The manifests of batches, each with its own result.
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
