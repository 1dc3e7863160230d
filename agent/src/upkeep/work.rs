//! What the threads of a check share: where they read, what they found, when they stop.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::archive::manifest::{Object, Origin};
use crate::archive::signature::TrustedKeys;
use crate::archive::wal::WalName;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::wal::WalReader;
use crate::repository::{Repository, layout};
use crate::store::is_archived;
use crate::upkeep::findings::{Finding, Findings};
use crate::upkeep::meter::Meter;
use crate::upkeep::scope::Scope;

/// After so many objects that could not be fetched in time, the rest is not tried: each would
/// take the store's whole deadline.
pub const UNREACHABLE_MAX: u64 = 3;

/// One object to be read.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub snapshot: SnapshotId,
    /// Which.
    pub object: Object,
}

/// An object that has the name of a whole segment but is not one.
pub struct Partial {
    /// Its name.
    pub name: WalName,
    /// How many bytes of it are WAL, and how many there should be.
    pub holds: (u32, usize),
}

/// What workers share.
pub struct Work {
    /// The repository.
    pub repository: Repository,
    /// The runtime that fetches.
    pub runtime: Handle,
    /// What there is.
    pub scope: Scope,
    /// What is found.
    pub findings: Findings,
    /// Rate, progress, stop.
    pub meter: Meter,
    /// Where everything belongs.
    pub origin: Origin,
    /// Whose signatures count; `None` if a person turned that check off.
    pub trusted: Option<TrustedKeys>,
    /// Opens WAL, where everything is decoded.
    pub wal_reader: Option<WalReader>,
    /// Segments that are stored as whole and are not.
    pub partial: Mutex<Vec<Partial>>,
    /// Objects that were read to their end.
    pub checked: AtomicU64,
    /// Their bytes.
    pub checked_bytes: AtomicU64,
    /// Files whose content was compared.
    pub files: AtomicU64,
    /// Objects that could not be fetched in time.
    pub unreachable: AtomicU64,
}

/// Runs `check` over all tasks, on so many threads. Stops early when cancelled or when the store
/// does not answer.
pub fn each<T: Send>(work: &Work, tasks: Vec<T>, workers: usize, check: impl Fn(&T) + Sync) {
    let queue = Mutex::new(tasks.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                loop {
                    if work.meter.stop_if_cancelled().is_err()
                        || work.unreachable.load(Relaxed) >= UNREACHABLE_MAX
                    {
                        return;
                    }
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(task) = next else { return };
                    check(&task);
                }
            });
        }
    });
}

impl Work {
    /// Fetches one object and compares it, without a key.
    pub fn check(&self, task: &Task) {
        let Task { snapshot, object } = task;
        let outcome =
            self.repository.check_object(&self.runtime, snapshot, object, |bytes| self.meter.passed(bytes));
        self.settle(task, outcome);
    }

    /// Asks for the size of an object that came after the listing, or is another one than it should be. One
    /// that is fine was not read.
    pub fn check_size(&self, task: &Task) {
        if let Err(e) = self.look(task) {
            self.settle(task, Err(e));
        }
    }

    fn look(&self, task: &Task) -> Result<()> {
        let (key, object) = (self.key(task), &task.object);
        match self.runtime.block_on(self.repository.store().head(&key))? {
            None => Err(Error::new(Kind::NotFound, format!("{key} is missing"))),
            // If the size is right, so is the digest as far as anybody looked.
            Some(info) => object.check(info.bytes, object.sha256),
        }
    }

    /// Counts a good object, and notes what is wrong with another.
    pub fn settle(&self, task: &Task, outcome: Result<()>) {
        let lost = match &outcome {
            Ok(()) => Vec::new(),
            Err(_) => self.scope.graph.lost_with(&task.snapshot, &task.object.name),
        };
        self.settle_object(&self.key(task), task.object.bytes, outcome.err(), lost);
    }

    /// The same, for an object of any kind.
    pub fn settle_object(&self, key: &str, bytes: u64, error: Option<Error>, lost: Vec<SnapshotId>) {
        // A bad answer is an answer: it was looked at.
        let answered = |e: &Error| matches!(e.kind(), Kind::Integrity | Kind::NotFound | Kind::Signature);
        if error.as_ref().is_none_or(answered) {
            self.checked.fetch_add(1, Relaxed);
            self.checked_bytes.fetch_add(bytes, Relaxed);
            self.meter.progress().add_files(1);
        }
        let Some(e) = error.filter(|e| e.kind() != Kind::Interrupted) else { return };
        if e.kind() == Kind::Unreachable && !is_archived(&e) {
            self.unreachable.fetch_add(1, Relaxed);
        }
        self.findings.sort(key, e, lost);
    }

    /// Notes something that is wrong inside an object whose bytes are right.
    pub fn wrong(&self, task: &Task, what: String) {
        let lost = self.scope.graph.lost_with(&task.snapshot, &task.object.name);
        self.findings.add(Finding { object: self.key(task), what, lost });
    }

    fn key(&self, task: &Task) -> String {
        layout::object(self.repository.instance(), &task.snapshot, &task.object.name)
    }
}
