//! Reads back the locks of what is kept, and makes longer those that end too early. By version: one that
//! somebody overwrote or hid is still what was promised. What a hold keeps gets the store's legal hold as
//! well (`legal_holds.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};

use crate::archive::wal::WalName;
use crate::clock::{Timestamp, later};
use crate::config::LockMode;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::legal_holds::{HoldFound, HoldWork, LegalHolds};
use crate::repository::{Repository, layout};
use crate::store::versions::{Lock, ObjectVersion, VersionId};

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

/// What becomes of an object.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It stays.
    Stays(Until),
    /// It goes, or expire has deleted it: no hold keeps it.
    Goes,
    /// Nothing is known of it: it is let alone.
    Unknown,
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
    /// Whether a hold keeps it: then it has a legal hold as well.
    pub held: bool,
}

impl Until {
    /// Until then, once.
    pub fn fixed(at: Timestamp) -> Until {
        Until { due: at, at, least: Timestamp::MIN, held: false }
    }

    /// For a while from now on.
    pub fn rolling(now: Timestamp, span: Duration) -> Until {
        Until { due: later(now, span * 2 / 3), ..Until::fixed(later(now, span)) }
    }

    /// The longer of both.
    pub fn or(self, other: Until) -> Until {
        Until {
            due: self.due.max(other.due),
            at: self.at.max(other.at),
            least: self.least.max(other.least),
            held: self.held || other.held,
        }
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
    /// What was done about legal holds; `None` where there never was a hold.
    pub legal_holds: Option<LegalHolds>,
    /// How many could not be looked at, locked or released.
    pub failed: u64,
    /// Some of these.
    pub failures: Vec<LockFailure>,
}

/// A version that is not locked as it must be.
#[derive(Debug)]
pub struct LockFailure {
    /// The object.
    pub key: String,
    /// Whether it may be locked for too long, not too short: its legal hold could not be lifted.
    pub too_long: bool,
    /// Why.
    pub why: Error,
}

enum Found {
    Fine,
    Extended { was: Option<Timestamp>, too_short: bool },
    Failed(Error),
}

/// What is done about one version.
struct Task {
    key: String,
    id: VersionId,
    until: Option<Until>,
    legal_hold: Option<bool>,
}

impl Task {
    /// `None` where nothing is.
    fn of(version: ObjectVersion, fate: Fate, holds: &HoldWork) -> Option<Task> {
        // Other instances need that as well, and their holds are not known here.
        let is_shared = version.info.key == layout::META;
        let lifts = *holds == HoldWork::SetAndLift && !is_shared;
        let (until, legal_hold) = match fate {
            Fate::Stays(until) if until.held => (Some(until), (*holds != HoldWork::Nothing).then_some(true)),
            Fate::Stays(until) => (Some(until), lifts.then_some(false)),
            Fate::Goes if lifts => (None, Some(false)),
            Fate::Goes | Fate::Unknown => return None,
        };
        Some(Task { key: version.info.key, id: version.id, until, legal_hold })
    }
}

impl Repository {
    /// Makes every lock of what stays as long as `fate` says, and does what `holds` says about the legal
    /// holds of what stays and of what goes. One object that cannot be locked does not stop the others.
    /// `None` where nothing is locked here.
    ///
    /// # Errors
    /// Those of the store where the versions cannot be listed.
    pub async fn extend_locks(
        &self,
        now: Timestamp,
        holds: HoldWork,
        fate: impl Fn(Part<'_>, &ObjectVersion) -> Fate,
    ) -> Result<Option<Locks>> {
        let Some(mode) = self.lock_mode() else { return Ok(None) };
        let legal_holds = match &holds {
            HoldWork::Nothing => None,
            HoldWork::Set(why) => Some(LegalHolds { in_doubt: Some(why.clone()), ..LegalHolds::default() }),
            HoldWork::SetAndLift => Some(LegalHolds::default()),
        };
        let mut locks = Locks { legal_holds, ..Locks::default() };
        let prefix = layout::instance_prefix(self.instance());
        let versions = self.store().versions_of(layout::META).chain(self.store().versions(&prefix));
        let tasks = versions.try_filter_map(|version| {
            let part = self.part_of(&version.info.key).filter(|_| !version.is_marker);
            let fate = part.map_or(Fate::Unknown, |part| fate(part.borrowed(), &version));
            std::future::ready(Ok(Task::of(version, fate, &holds)))
        });
        let has_holds = &AtomicBool::new(true);
        let found = tasks.map_ok(|Task { key, id, until, legal_hold }| async move {
            let lock = match until {
                Some(until) => Some(self.extend(&key, &id, until, mode, now).await),
                None => None,
            };
            let hold = match legal_hold.filter(|_| has_holds.load(Ordering::Relaxed)) {
                Some(wanted) => self.keep_legal_hold(&key, &id, wanted).await,
                None => HoldFound::Fine,
            };
            // It is said once.
            let is_new =
                !matches!(hold, HoldFound::Unsupported(_)) || has_holds.swap(false, Ordering::Relaxed);
            Ok((key, lock, if is_new { hold } else { HoldFound::Fine }))
        });
        let mut found = std::pin::pin!(found.try_buffer_unordered(AT_ONCE));
        while let Some((key, lock, hold)) = found.try_next().await? {
            locks.add(key, lock, hold);
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
    fn add(&mut self, key: String, lock: Option<Found>, hold: HoldFound) {
        self.checked += u64::from(lock.is_some());
        let mut failures = Vec::new();
        match lock {
            None | Some(Found::Fine) => {}
            Some(Found::Extended { was, too_short }) => {
                self.extended += 1;
                if too_short {
                    self.too_short += 1;
                    if self.too_short_keys.len() < NAMED_MAX {
                        self.too_short_keys.push((key.clone(), was));
                    }
                }
            }
            Some(Found::Failed(e)) => failures.push((false, e)),
        }
        let mut unused = LegalHolds::default();
        let done = self.legal_holds.as_mut().unwrap_or(&mut unused);
        match hold {
            HoldFound::Fine => {}
            HoldFound::Set => done.set += 1,
            HoldFound::Lifted => done.lifted += 1,
            HoldFound::NotSet(e) | HoldFound::Unsupported(e) => failures.push((false, e)),
            HoldFound::NotLifted(e) => {
                done.not_lifted += 1;
                failures.push((true, e));
            }
        }
        self.failed += u64::from(failures.iter().any(|(too_long, _)| !too_long));
        for (too_long, why) in failures {
            if self.failures.len() < NAMED_MAX {
                self.failures.push(LockFailure { key: key.clone(), too_long, why });
            }
        }
    }
}
