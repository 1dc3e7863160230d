//! Reads back the locks of what is kept, and makes longer those that end too early. By version: one that
//! somebody overwrote or hid is still what was promised.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};

use crate::archive::wal::WalName;
use crate::clock::{Timestamp, later};
use crate::config::LockMode;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::{Repository, layout};
use crate::store::versions::{Lock, VersionId};

/// Versions that are looked at at a time.
const AT_ONCE: usize = 16;
/// Problems that are remembered one by one.
const NAMED_MAX: usize = 1_000;

/// What an object belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A snapshot or a batch.
    Snapshot(&'a SnapshotId),
    /// The key of an object of WAL.
    Wal(&'a str),
    /// What is never deleted.
    Record,
}

/// How long something must be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// A lock that ends before this is made longer,
    pub due: Timestamp,
    /// to end then.
    pub at: Timestamp,
    /// Until when it was locked when it was stored: a lock that ends before this was taken away.
    pub least: Timestamp,
}

impl Until {
    /// Until then, once.
    pub fn fixed(at: Timestamp) -> Until {
        Until { due: at, at, least: Timestamp::MIN }
    }

    /// For a while from now on.
    pub fn rolling(now: Timestamp, span: Duration) -> Until {
        Until { due: later(now, span * 2 / 3), at: later(now, span), least: Timestamp::MIN }
    }

    /// The longer of both.
    pub fn or(self, other: Until) -> Until {
        Until { due: self.due.max(other.due), at: self.at.max(other.at), least: self.least.max(other.least) }
    }

    /// For what it needs, which may have been stored with a shorter lock.
    pub fn of_needed(self) -> Until {
        Until { least: Timestamp::MIN, ..self }
    }
}

/// What was looked at, and done.
#[derive(Debug, Default)]
pub struct Locks {
    /// Versions whose lock was read back.
    pub checked: u64,
    /// How many of the locks were made longer.
    pub extended: u64,
    /// How many of them had no lock, one that had ended, or one that was shorter than when it was stored.
    pub too_short: u64,
    /// Some of these, and when their lock ended.
    pub too_short_keys: Vec<(String, Option<Timestamp>)>,
    /// How many could not be looked at or made longer.
    pub failed: u64,
    /// Some of these, and why.
    pub failures: Vec<(String, Error)>,
}

enum Found {
    Fine,
    Extended { was: Option<Timestamp>, too_short: bool },
    Failed(Error),
}

impl Repository {
    /// Makes every lock as long as `wanted` says; what it answers `None` for is let alone. One object that
    /// cannot be locked does not stop the others. `None` where nothing is locked here.
    ///
    /// # Errors
    /// Those of the store where the versions cannot be listed.
    pub async fn extend_locks(
        &self,
        now: Timestamp,
        wanted: impl Fn(Part<'_>) -> Option<Until>,
    ) -> Result<Option<Locks>> {
        let Some(mode) = self.lock_mode() else { return Ok(None) };
        let mut locks = Locks::default();
        let prefix = layout::instance_prefix(self.instance());
        let versions = self.store().versions_of(layout::META).chain(self.store().versions(&prefix));
        let versions = versions.try_filter_map(|version| {
            let part = self.part_of(&version.info.key);
            let wanted = part.and_then(|part| wanted(part.borrowed())).filter(|_| !version.is_marker);
            std::future::ready(Ok(wanted.map(|wanted| (version.info.key, version.id, wanted))))
        });
        let found = versions.map_ok(|(key, id, wanted)| async move {
            let found = self.extend(&key, &id, wanted, mode, now).await;
            Ok((key, found))
        });
        let mut found = std::pin::pin!(found.try_buffer_unordered(AT_ONCE));
        while let Some((key, found)) = found.try_next().await? {
            locks.add(key, found);
        }
        Ok(Some(locks))
    }

    async fn extend(
        &self,
        key: &str,
        id: &VersionId,
        wanted: Until,
        mode: LockMode,
        now: Timestamp,
    ) -> Found {
        let store = self.store();
        let known = match store.version_lock(key, Some(id)).await {
            Ok(known) => known,
            // A rule of the bucket removed it since it was listed.
            Err(e) if e.kind() == Kind::NotFound => return Found::Fine,
            Err(e) => return Found::Failed(e),
        };
        // Never less strict than it is.
        let mode = known.map_or(mode, |known| known.mode.max(mode));
        if known.is_some_and(|known| known.covers(Lock { mode, until: wanted.due })) {
            return Found::Fine;
        }
        let until = known.map_or(wanted.at, |known| known.until.max(wanted.at));
        let lock = Lock { mode, until };
        let extended = async {
            store.set_version_lock(key, id, lock).await?;
            store.version_lock(key, Some(id)).await
        };
        match extended.await {
            Ok(Some(found)) if found.covers(lock) => {
                let was = known.map(|known| known.until);
                Found::Extended { was, too_short: was.is_none_or(|was| was < now.max(wanted.least)) }
            }
            Ok(_) => {
                let what =
                    format!("the lock of {key} was made longer, but is not longer when it is read back");
                Found::Failed(Error::new(Kind::Config, what))
            }
            Err(e) => Found::Failed(e),
        }
    }

    /// What the key belongs to; `None` for what is never locked: leases, tombstones, reports of drills,
    /// records of suspicious backups and of dropped databases, foreign objects.
    fn part_of(&self, key: &str) -> Option<OwnedPart> {
        if key == layout::META {
            return Some(OwnedPart::Record);
        }
        let rest = key.strip_prefix(&layout::instance_prefix(self.instance()))?.strip_prefix('/')?;
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            ["instance.json"] | ["releases" | "holds", ..] | ["wal", "history", ..] => {
                Some(OwnedPart::Record)
            }
            ["snapshots", id, _, ..] | ["arrivals", _, id, _, ..] => id.parse().ok().map(OwnedPart::Snapshot),
            ["wal", _, _, _] => Some(OwnedPart::Wal(key.to_owned())),
            _ => None,
        }
    }

    /// The key of an object of WAL.
    pub fn wal_key(&self, name: &WalName) -> String {
        layout::wal_object(self.instance(), name)
    }
}

enum OwnedPart {
    Snapshot(SnapshotId),
    Wal(String),
    Record,
}

impl OwnedPart {
    fn borrowed(&self) -> Part<'_> {
        match self {
            OwnedPart::Snapshot(id) => Part::Snapshot(id),
            OwnedPart::Wal(key) => Part::Wal(key),
            OwnedPart::Record => Part::Record,
        }
    }
}

impl Locks {
    fn add(&mut self, key: String, found: Found) {
        self.checked += 1;
        match found {
            Found::Fine => {}
            Found::Extended { was, too_short } => {
                self.extended += 1;
                if too_short {
                    self.too_short += 1;
                    if self.too_short_keys.len() < NAMED_MAX {
                        self.too_short_keys.push((key, was));
                    }
                }
            }
            Found::Failed(e) => {
                self.failed += 1;
                if self.failures.len() < NAMED_MAX {
                    self.failures.push((key, e));
                }
            }
        }
    }
}
