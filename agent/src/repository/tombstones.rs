//! Tombstones in the repository: `instances/<instance>/expiry/<run>/`. Each is signed, and stays as a record
//! of what was deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use crate::archive::manifest::{self, Origin};
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::archive::tombstone::{self, Named, Tombstone};
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

    /// The runs whose tombstones may still be carried out: those of the last 60 days.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn recent_runs(&self) -> Result<Vec<SnapshotId>> {
        let since = clock::now().checked_sub(RECENT).unwrap_or(Timestamp::MIN);
        let since = SnapshotId::new(since, "expiry");
        Ok(self.expiry_runs().await?.into_iter().filter(|run| *run > since).collect())
    }

    /// All runs that stored a tombstone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expiry_runs(&self) -> Result<Vec<SnapshotId>> {
        let folders = self.store().list_dirs(&layout::tombstones(self.instance())).await?;
        Ok(folders.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The tombstones of these runs, and why others are not believed. One of which only the signature is
    /// there is being written, and does not count yet.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tombstones(
        &self,
        runs: Vec<SnapshotId>,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<(Vec<Believed>, Vec<Error>)> {
        let looks: Vec<_> = stream::iter(runs)
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
            Ok(Some(signed)) => signed,
            // The signature is stored first, so nobody of ours wrote this.
            Ok(None) => return Err(Error::new(Kind::Signature, format!("tombstone {run} has no signature"))),
            Err(e) if e.kind() == Kind::NotFound => return Ok(None),
            Err(e) => return Err(e.context(format!("read tombstone {run}"))),
        };
        let tombstone = Tombstone::parse(run, origin, &signed.record)?;
        Ok(Some(Believed { tombstone, stored_at: signed.record.stored_at }))
    }
}

/// The tombstones, for whoever publishes snapshots. Each is read once.
pub struct Tombstones {
    trusted: TrustedKeys,
    read: Mutex<BTreeMap<SnapshotId, Named>>,
}

impl Tombstones {
    /// Those that these keys signed.
    pub fn of(trusted: TrustedKeys) -> Tombstones {
        Tombstones { trusted, read: Mutex::default() }
    }

    /// Whether a snapshot that is about to be published is whole and stays so: nothing of it, or of what it
    /// needs, was deleted or is about to be. A run that was stopped for longer than the grace looks like one
    /// that was killed, and what it built on may have gone.
    ///
    /// # Errors
    /// `Conflict` naming what is gone, or goes; those of the store.
    pub async fn check(
        &self,
        repository: &Repository,
        id: &SnapshotId,
        needed: &BTreeSet<SnapshotId>,
        origin: &Origin,
    ) -> Result<()> {
        let runs = repository.recent_runs().await?;
        let mut read = self.read.lock().await;
        read.retain(|run, _| runs.contains(run));
        let new = runs.into_iter().filter(|run| !read.contains_key(run)).collect();
        let (believed, _) = repository.tombstones(new, origin, &self.trusted).await?;
        read.extend(believed.into_iter().map(|one| (one.tombstone.run, one.tombstone.named)));
        for (run, named) in read.iter() {
            if named.unfinished.contains(id) {
                return Err(conflict(format!("this snapshot, {id}, is being deleted as unfinished"))
                    .because(format!("tombstone {run} names it: its run was stopped for too long")));
            }
            let goes = |id: &&SnapshotId| named.snapshots.contains(*id) || named.batches.contains(*id);
            if let Some(other) = needed.iter().find(goes) {
                return Err(conflict(format!("snapshot {other}, which {id} needs, is about to be deleted"))
                    .because(format!("tombstone {run} names it")));
            }
        }
        let mut gone = stream::iter(needed.iter().cloned().collect::<Vec<_>>())
            .map(|other| async move {
                let key = layout::object(repository.instance(), &other, manifest::NAME);
                Ok::<_, Error>(repository.store().head(&key).await?.is_none().then_some(other))
            })
            .buffered(AT_ONCE);
        while let Some(other) = gone.try_next().await? {
            if let Some(other) = other {
                let what = format!("snapshot {other}, which {id} needs, is not stored any more");
                return Err(conflict(what));
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
