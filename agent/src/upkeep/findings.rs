//! What a check found: each finding once, by name, with what it means for a restore.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, SnapshotId, TenantName};
use crate::upkeep::foreign::{ForeignObject, ForeignObjects};

/// Snapshots that a finding names; of more it gives the count.
const SNAPSHOTS_NAMED_MAX: usize = 5;
/// Findings in objects that no restore needs are kept up to this number: whoever can write to the repository
/// can make any number of them.
const HARMLESS_MAX: usize = 10_000;

/// Something that is not as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object's key, or the snapshot's ID if it is not a single object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Snapshots that cannot be restored whole because of it; empty where all can.
    pub lost: Vec<SnapshotId>,
}

impl Finding {
    /// Something wrong that no restore needs.
    pub fn harmless(object: &str, what: impl Into<String>) -> Finding {
        Finding { object: object.to_owned(), what: what.into(), lost: Vec::new() }
    }

    /// What it means, in a sentence.
    pub fn effect(&self) -> String {
        match self.lost.len() {
            0 => "every snapshot can still be restored".to_owned(),
            1 => format!("snapshot {} cannot be restored whole", self.lost[0]),
            n => {
                let named: Vec<&str> =
                    self.lost.iter().rev().take(SNAPSHOTS_NAMED_MAX).map(SnapshotId::as_str).collect();
                let more =
                    if n > named.len() { format!(" and {} older", n - named.len()) } else { String::new() };
                format!("{n} snapshots cannot be restored whole: {}{more}", named.join(", "))
            }
        }
    }
}

/// Something that could not be read: nothing is known of it.
#[derive(Debug)]
pub struct Unasked {
    /// The object's key, or what was asked for.
    pub object: String,
    /// Why.
    pub error: Error,
    /// Snapshots of which it is not known whether they can be restored whole.
    pub doubtful: Vec<SnapshotId>,
}

/// The newest dump of a tenant without a finding, its filestore included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewestWhole {
    /// The tenant.
    pub tenant: TenantName,
    /// None if all are damaged or could not be read.
    pub snapshot: Option<SnapshotId>,
}

/// Something that was not checked: it has nothing to be compared with, or was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// The object's key, or those of a folder.
    pub object: String,
    /// Why.
    pub why: String,
}

/// A folder that does not count: its last object, which makes it complete, is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// The snapshot's ID or the drill's name.
    pub id: String,
    /// What that means.
    pub what: String,
}

/// What a check covered.
#[derive(Clone, Debug, Default)]
pub struct Covered {
    /// The snapshots that were looked at.
    pub chosen: BTreeSet<SnapshotId>,
    /// Whether that was everything there is, WAL too.
    pub everything: bool,
}

/// The result of a check.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whose part of the repository.
    pub instance: InstanceName,
    /// The repository.
    pub repository: String,
    /// Whether everything was decoded too.
    pub deep: bool,
    /// Whether no content was read: only names, sizes, versions, and what is small and signed.
    pub quick: bool,
    /// Whether the store's versions were looked at: they show what was deleted or written again. A check of
    /// some snapshots only does not look.
    pub versions_checked: bool,
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Snapshots without a manifest, drills without a report.
    pub unfinished: Vec<Unfinished>,
    /// What a person must look at although all that is stored is as it was: files missing in snapshots,
    /// foreign objects, missing WAL.
    pub problems: Vec<String>,
    /// The same, where only older states are affected.
    pub warnings: Vec<String>,
    /// Foreign objects: Lifeboat did not write them.
    pub foreign: Vec<ForeignObject>,
    /// How many more there are.
    pub foreign_more: u64,
    /// What was left out, by name.
    pub skipped: Vec<Skipped>,
    /// Objects whose bytes were all read and compared.
    pub objects_checked: u64,
    /// Their bytes.
    pub bytes_checked: u64,
    /// Objects of the snapshots, and WAL, that were not read: left out by the sample or the quick check, or
    /// after a stop.
    pub objects_not_checked: u64,
    /// Their bytes.
    pub bytes_not_checked: u64,
    /// Files whose content was decoded and compared, with `--deep`.
    pub files_checked: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    #[serde(skip)]
    pub unasked: Vec<Unasked>,
    /// What a restore would take, by tenant.
    pub newest_whole: Vec<NewestWhole>,
    /// Whether it was stopped by a signal.
    pub interrupted: bool,
    /// What it had to check.
    #[serde(skip)]
    pub covered: Covered,
    /// Tombstones that announce what expire keeps; `None` where they were not looked at.
    #[serde(skip)]
    pub doubted: Option<BTreeSet<SnapshotId>>,
}

impl Report {
    /// `Ok` if everything that had to be checked was read and is right.
    ///
    /// # Errors
    /// `Integrity` for findings; else the error of what could not be read; else `Interrupted`; else
    /// `Incomplete` for problems.
    pub fn verdict(&self) -> Result<()> {
        let place = format!("instance {} in {}", self.instance, self.repository);
        if !self.findings.is_empty() {
            let lost: BTreeSet<_> = self.findings.iter().flat_map(|f| &f.lost).collect();
            let effect = match lost.len() {
                0 => "every snapshot that was checked can still be restored".to_owned(),
                1 => "1 snapshot cannot be restored whole".to_owned(),
                n => format!("{n} snapshots cannot be restored whole"),
            };
            let count = self.findings.len();
            let what = match count {
                1 => format!("1 thing in {place} is not as it was stored"),
                count => format!("{count} things in {place} are not as they were stored"),
            };
            return Err(Error::new(Kind::Integrity, what)
                .effect(effect)
                .next(
                    "runbooks/damaged-repository.md: what can still be restored, and how to repair the rest",
                )
                .safe("nothing was changed"));
        }
        if let Some(first) = self.unasked.first() {
            let what = match self.unasked.len() {
                1 => format!("{} could not be looked at in {place}", first.object),
                n => format!("{n} things could not be looked at in {place}; the first is {}", first.object),
            };
            let error = Error::new(first.error.kind(), what)
                .because(first.error.what().to_owned())
                .effect("nothing is known of them: not checked does not mean right")
                .safe("running again is safe: nothing is written");
            return Err(match first.error.next_text() {
                Some(next) => error.next(next),
                None => error,
            });
        }
        if self.interrupted {
            return Err(Error::new(Kind::Interrupted, format!("the check of {place} was stopped"))
                .effect(format!("{} objects were not checked", self.objects_not_checked))
                .safe("running again is safe: nothing is written"));
        }
        if let [first, ..] = self.problems.as_slice() {
            let what = match self.problems.len() {
                1 => format!("a problem in {place}: {first}"),
                n => format!("{n} problems in {place}; the first: {first}"),
            };
            return Err(Error::new(Kind::Incomplete, what)
                .effect("no damage was found in what was checked; each problem line says what else is wrong")
                .next(
                    "runbooks/damaged-repository.md: what each line means; if somebody did it, \
                     runbooks/stolen-credentials.md",
                )
                .safe("nothing was changed"));
        }
        Ok(())
    }
}

/// What was found, sorted by object.
#[derive(Default)]
pub struct Found {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Objects that are named in a finding because they are not there, and when they were stored, of WAL.
    pub missing: BTreeMap<String, Option<Timestamp>>,
    /// What could not be looked at.
    pub unasked: Vec<Unasked>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// Foreign objects.
    pub foreign: ForeignObjects,
}

/// Where workers put what they find.
#[derive(Default)]
pub struct Findings {
    found: Mutex<Found>,
    harmless: AtomicUsize,
}

impl Findings {
    /// Notes something wrong.
    pub fn add(&self, finding: Finding) {
        let count = |finding: &Finding| match finding.lost.is_empty() {
            true => self.harmless.fetch_add(1, Ordering::Relaxed),
            false => 0,
        };
        if count(&finding) < HARMLESS_MAX {
            self.lock().findings.push(finding);
        }
    }

    /// Sorts an error: either there was no answer, or the answer is wrong.
    pub fn sort(&self, object: &str, error: Error, lost: Vec<SnapshotId>) {
        let what = match error.kind() {
            Kind::NotFound => {
                self.lock().missing.entry(object.to_owned()).or_default();
                "it is missing".to_owned()
            }
            Kind::Integrity | Kind::Signature | Kind::Repository => {
                let mut what = error.what().to_owned();
                for cause in error.causes() {
                    what = format!("{what}: {cause}");
                }
                what
            }
            _ => {
                let unasked = Unasked { object: object.to_owned(), error, doubtful: lost };
                self.lock().unasked.push(unasked);
                return;
            }
        };
        self.add(Finding { object: object.to_owned(), what, lost });
    }

    /// Notes when an object was stored that turns out to be missing.
    pub fn was_stored(&self, object: &str, at: Timestamp) {
        self.lock().missing.insert(object.to_owned(), Some(at));
    }

    /// Notes a foreign object; a `claim` has a name of ours.
    pub fn add_foreign(&self, object: &str, why: impl Into<String>, claim: bool) {
        self.lock().foreign.add(object, why.into(), claim);
    }

    /// Notes so many more of them, without names.
    pub fn add_foreign_unnamed(&self, count: u64, claim: bool) {
        self.lock().foreign.add_unnamed(count, claim);
    }

    /// Notes something that was left out.
    pub fn skip(&self, object: &str, why: String) {
        self.lock().skipped.push(Skipped { object: object.to_owned(), why });
    }

    /// What a look at a folder gives; `None` where it failed or was stopped, which is noted.
    pub async fn looked<T>(
        &self,
        folder: &str,
        what: &str,
        look: impl Future<Output = Result<T>>,
        cancel: &CancellationToken,
    ) -> Option<T> {
        let looked = tokio::select! {
            looked = look => looked,
            () = cancel.cancelled() => {
                self.skip(folder, format!("{what} were not checked"));
                return None;
            }
        };
        looked.map_err(|e| self.sort(folder, e, Vec::new())).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it.
    pub fn take(self) -> Found {
        let more = self.harmless.into_inner().saturating_sub(HARMLESS_MAX);
        let mut found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        if more > 0 {
            let what =
                format!("{more} more objects that no restore needs are wrong; they are not named here");
            found.findings.push(Finding::harmless("…", what));
        }
        found.findings.sort_by(|a, b| (&a.object, &a.what).cmp(&(&b.object, &b.what)));
        found.unasked.sort_by(|a, b| a.object.cmp(&b.object));
        found.skipped.sort();
        found
    }
}
