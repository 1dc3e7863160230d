//! Tombstones in the repository: `instances/<instance>/expiry/<run>/`. Each is signed, and stays as a record
//! of what was deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::manifest::{self, Origin};
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::archive::tombstone::{self, Tombstone};
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::record::Record;
use crate::repository::{Repository, layout};

/// Older tombstones never count for whoever writes or deletes: they are the record of what was deleted.
const RECENT: Duration = Duration::from_secs(60 * 86_400);
/// Tombstones read at a time, and manifests looked at.
const AT_ONCE: usize = 16;

/// A tombstone that is believed.
#[derive(Clone, Debug)]
pub struct Believed {
    /// What it says.
    pub tombstone: Tombstone,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// Whose tombstones are believed on this host: whoever signs backups, and whoever only expires them.
///
/// # Errors
/// `Config` where a key cannot be read.
pub fn announcers(config: &Config) -> Result<TrustedKeys> {
    TrustedKeys::parse(config.signing.trusted_keys.iter().chain(&config.expire.trusted_keys))
}

impl Repository {
    fn tombstone_record(&self, run: &SnapshotId) -> Record<'static> {
        let key = |name| layout::tombstone(self.instance(), run, name);
        Record {
            name: tombstone::JSON,
            key: key(tombstone::JSON),
            signature_key: key(tombstone::SIGNATURE),
            bytes_max: tombstone::BYTES_MAX,
        }
    }

    /// Signs a tombstone and stores it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn store_tombstone(&self, tombstone: &Tombstone, signing: &SigningKey) -> Result<()> {
        self.tombstone_record(&tombstone.run).write(self.store(), tombstone.to_bytes()?, signing).await
    }

    /// The tombstones of the last 60 days, which may still be carried out, and why others are not believed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn recent_tombstones(
        &self,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<(Vec<Believed>, Vec<Error>)> {
        let since = clock::now().checked_sub(RECENT).unwrap_or(Timestamp::MIN);
        self.tombstones(origin, trusted, since).await
    }

    /// The tombstones whose name is not older than this, and why others are not believed. One that is half
    /// there is being written, and does not count yet.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tombstones(
        &self,
        origin: &Origin,
        trusted: &TrustedKeys,
        since: Timestamp,
    ) -> Result<(Vec<Believed>, Vec<Error>)> {
        let folders = self.store().list_dirs(&layout::tombstones(self.instance())).await?;
        let since = SnapshotId::new(since, "expiry");
        let runs =
            folders.iter().filter_map(|name| name.parse::<SnapshotId>().ok()).filter(|run| *run > since);
        let looks: Vec<_> = stream::iter(runs.collect::<Vec<_>>())
            .map(|run| async move { self.read_tombstone(&run, origin, trusted).await })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let (mut believed, mut others) = (Vec::new(), Vec::new());
        for look in looks {
            match look {
                Ok(one) => believed.extend(one),
                Err(e) if matches!(e.kind(), Kind::Integrity | Kind::Signature) => others.push(e),
                Err(e) => return Err(e),
            }
        }
        Ok((believed, others))
    }

    async fn read_tombstone(
        &self,
        run: &SnapshotId,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<Option<Believed>> {
        let signed = match self.tombstone_record(run).read(self, trusted).await {
            Ok(signed) => signed,
            Err(e) if e.kind() == Kind::NotFound => None,
            Err(e) => return Err(e.context(format!("read tombstone {run}"))),
        };
        let Some(signed) = signed else { return Ok(None) };
        let tombstone = Tombstone::parse(run, origin, &signed.record)?;
        Ok(Some(Believed { tombstone, stored_at: signed.record.stored_at }))
    }

    /// Whether what a snapshot needs is there, and will be: a run that slept may have built on what was
    /// deleted meanwhile, or is about to be.
    ///
    /// # Errors
    /// `Conflict` naming what is gone, or goes; those of the store.
    pub async fn check_needed(
        &self,
        needed: &BTreeSet<SnapshotId>,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<()> {
        if needed.is_empty() {
            return Ok(());
        }
        let (tombstones, _) = self.recent_tombstones(origin, trusted).await?;
        for one in &tombstones {
            let named = &one.tombstone.named;
            let goes = |id: &&SnapshotId| named.snapshots.contains(*id) || named.batches.contains(*id);
            if let Some(id) = needed.iter().find(goes) {
                return Err(conflict(format!("snapshot {id}, which this one needs, is about to be deleted"))
                    .because(format!("tombstone {} names it", one.tombstone.run)));
            }
        }
        let mut there = stream::iter(needed.iter().cloned().collect::<Vec<_>>())
            .map(|id| async move {
                let key = layout::object(self.instance(), &id, manifest::NAME);
                Ok::<_, Error>(self.store().head(&key).await?.is_none().then_some(id))
            })
            .buffered(AT_ONCE);
        while let Some(gone) = there.try_next().await? {
            if let Some(id) = gone {
                return Err(conflict(format!("snapshot {id}, which this one needs, is not stored any more")));
            }
        }
        Ok(())
    }
}

fn conflict(what: String) -> Error {
    Error::new(Kind::Conflict, what)
        .effect("the snapshot was not published")
        .next("start the backup again: it builds on what is stored now")
}
