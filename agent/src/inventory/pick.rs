//! Which snapshot is the newest.
//!
//! The rule, for restore, status, list, the drill and all others:
//!
//! - Order is what the **server** says (timeline, position in the WAL, the time of its own clock at that
//!   point) and what the **store** says (when it stored the manifest). A snapshot's ID only names it. The
//!   clock of the host that wrote it decides nothing.
//! - Base backups have timeline and position: that is their order.
//! - Dumps have three witnesses: position, the server's time, the store's time. Each may be wrong by itself:
//!   positions begin again at a lower one after a recovery to an earlier point, a server's clock may be
//!   wrong, and the store's times are those of the copying where a repository was copied, or an old object
//!   was written again. So the place of a dump is the one in the middle of its three places: what two of them
//!   say.
//! - What has no position (filestores, roles) is ordered by its own time while the store's fits that, by the
//!   store's otherwise.
//! - A difference between a writer's clock and the store's beyond [`MARGIN`] is reported.

use std::cmp::Reverse;

use jiff::SignedDuration;

use crate::archive::manifest::SnapshotKind;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Inventory, Look, Snapshot};
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName, shell_word};

/// How far a writer's clock may be from the store's: S3 itself refuses requests beyond it.
pub const MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// Which snapshot of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The newest dump.
    Latest,
    /// This one.
    Snapshot(SnapshotId),
    /// The newest dump tied to this release.
    Release(ReleaseId),
}

impl Snapshot {
    /// How far the clock of its writer was ahead of the store's when it was stored, where that is beyond
    /// [`MARGIN`].
    pub fn clock_ahead(&self) -> Option<SignedDuration> {
        Some(self.manifest.ended.duration_since(self.stored_at)).filter(|ahead| *ahead > MARGIN)
    }

    /// How much later than its writer says it was stored, where that is beyond [`MARGIN`]: the writer's clock
    /// was slow, or the repository was copied.
    fn stored_later(&self) -> Option<SignedDuration> {
        Some(self.stored_at.duration_since(self.manifest.ended)).filter(|later| *later > MARGIN)
    }

    /// The moment whose state it holds, for its age: its own while that can be, the store's where it lies
    /// after the moment at which it was stored.
    pub fn time(&self) -> Timestamp {
        match self.manifest.point.duration_since(self.stored_at) > MARGIN {
            true => self.stored_at,
            false => self.manifest.point,
        }
    }

    /// What a person should know of the clock that it was written under.
    pub fn clock_note(&self) -> Option<String> {
        if let Some(ahead) = self.clock_ahead() {
            let (ahead, at) = (span(ahead), self.stored_at);
            return Some(format!(
                "written while its host's clock was {ahead} ahead of the store's, which stored it at {at}"
            ));
        }
        let (later, at) = (span(self.stored_later()?), self.stored_at);
        Some(format!("stored at {at}, {later} after its own time: a slow clock, or a copied repository"))
    }
}

fn span(duration: SignedDuration) -> String {
    crate::clock::span_text(duration.unsigned_abs())
}

/// Snapshots of one kind, and of one tenant where they have one, the oldest first.
pub fn oldest_first<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Vec<&'a Snapshot> {
    let mut all: Vec<&Snapshot> = snapshots.into_iter().collect();
    let is = |kind| all.iter().all(|one| one.manifest.kind() == kind);
    if is(SnapshotKind::Base) {
        all.sort_by_key(|one| {
            let timeline = one.manifest.base().map(|facts| facts.timeline);
            (timeline, one.manifest.lsn, one.manifest.point, &one.manifest.id)
        });
    } else if is(SnapshotKind::Dump) && all.iter().all(|one| position(one) > Lsn(0)) {
        all = by_the_middle(all);
    } else {
        all.sort_by_key(|one| {
            let fits = one.clock_ahead().is_none() && one.stored_later().is_none();
            let time = if fits { one.manifest.point } else { one.stored_at };
            (time, one.manifest.point, &one.manifest.id)
        });
    }
    all
}

fn position(one: &Snapshot) -> Lsn {
    one.manifest.lsn.unwrap_or(Lsn(0))
}

/// By the middle of three places.
fn by_the_middle(all: Vec<&Snapshot>) -> Vec<&Snapshot> {
    let point = |one: &Snapshot| one.manifest.point;
    // Where a witness says the same of two, the others decide.
    let places = [
        places(&all, |one| (position(one), point(one), one.stored_at)),
        places(&all, |one| (point(one), position(one), one.stored_at)),
        places(&all, |one| (one.stored_at, position(one), point(one))),
    ];
    let middle = |at: usize| {
        let mut three = [places[0][at], places[1][at], places[2][at]];
        three.sort_unstable();
        three[1]
    };
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|at| (middle(*at), places[0][*at]));
    order.into_iter().map(|at| all[at]).collect()
}

/// The place of each in the order of `key`.
fn places<K: Ord>(all: &[&Snapshot], key: impl Fn(&Snapshot) -> K) -> Vec<usize> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|at| (key(all[*at]), &all[*at].manifest.id));
    let mut places = vec![0; all.len()];
    order.into_iter().enumerate().for_each(|(place, at)| places[at] = place);
    places
}

/// The newest of a kind; of a tenant where one is named.
pub fn newest<'a>(
    inventory: &'a Inventory,
    kind: SnapshotKind,
    tenant: Option<&'a TenantName>,
) -> Option<&'a Snapshot> {
    oldest_first(inventory.of_kind(kind, tenant)).pop()
}

/// A snapshot that was chosen.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// Which.
    pub snapshot: &'a Snapshot,
    /// Snapshots that were skipped, and why: they may be newer, and a person should know that.
    pub skipped: Vec<(SnapshotId, String)>,
}

/// The snapshot of a tenant that fits: a dump, or a backup of the filestore.
///
/// # Errors
/// `NotFound` where none does; for a snapshot that is named whatever is wrong with it; that of the store
/// where a manifest could not be read that may be the newest.
pub fn choose<'a>(
    inventory: &'a Inventory,
    tenant: &TenantName,
    kind: SnapshotKind,
    pick: &Pick,
) -> Result<Chosen<'a>> {
    if let Pick::Snapshot(id) = pick {
        return named(inventory, tenant, kind, id);
    }
    let fits = |one: &&Snapshot| match pick {
        Pick::Release(release) => one.manifest.release.as_ref() == Some(release),
        _ => true,
    };
    let found = oldest_first(inventory.of_kind(kind, Some(tenant)).filter(fits)).pop();
    let found = found.map(|one| one.manifest.id.clone());
    // Whose a snapshot is that is not believed is not known. Its name may say when it was: no more than a
    // hint.
    let may_be_newer =
        |id: &SnapshotId| id.kind() == kind.as_str() && found.as_ref().is_none_or(|found| id > found);
    let mut skipped = Vec::new();
    for (id, look) in inventory.snapshots.iter().rev().filter(|(id, _)| may_be_newer(id)) {
        match look {
            Look::NotRead(e) => {
                return Err(e.again().context(format!("look at snapshot {id}, which may be the newest")));
            }
            Look::NotBelieved(e) => skipped.push((id.clone(), e.what().to_owned())),
            Look::Believed(_) | Look::Unfinished => {}
        }
    }
    match found.and_then(|id| inventory.snapshot(&id)) {
        Some(snapshot) => Ok(Chosen { snapshot, skipped }),
        None => Err(none(inventory, tenant, (kind, pick), &skipped)),
    }
}

fn named<'a>(
    inventory: &'a Inventory,
    tenant: &TenantName,
    kind: SnapshotKind,
    id: &SnapshotId,
) -> Result<Chosen<'a>> {
    let snapshot = inventory.named(id)?;
    if snapshot.manifest.tenant.as_ref() != Some(tenant) {
        let whose = snapshot.manifest.tenant.as_ref().map_or("the instance".to_owned(), ToString::to_string);
        return Err(Error::new(Kind::Usage, format!("snapshot {id} belongs to {whose}, not to {tenant}"))
            .next(format!("lifeboat list --tenant {}", shell_word(tenant.as_str()))));
    }
    if kind == SnapshotKind::Dump {
        let facts = snapshot.manifest.dump_facts();
        facts.map_err(|e| e.next("give the ID of a dump; its filestore is restored with it"))?;
    }
    Ok(Chosen { snapshot, skipped: Vec::new() })
}

fn none(
    inventory: &Inventory,
    tenant: &TenantName,
    (kind, pick): (SnapshotKind, &Pick),
    skipped: &[(SnapshotId, String)],
) -> Error {
    let of = match pick {
        Pick::Release(release) => format!(" tied to release {release}"),
        _ => String::new(),
    };
    let what =
        format!("no {kind} of {tenant}{of} in {} for instance {}", inventory.repository, inventory.instance);
    let error = Error::new(Kind::NotFound, what)
        .next("lifeboat list shows what is stored; lifeboat verify shows what is damaged or lost");
    match skipped {
        [] => error,
        some => {
            let some: Vec<String> = some.iter().map(|(id, why)| format!("{id}: {why}")).collect();
            error.because(format!("skipped: {}", some.join("; ")))
        }
    }
}

/// Each snapshot that was written under a clock that was ahead, the last stored first; and how many were
/// stored much later than they say.
pub fn clocks<'a>(snapshots: impl Iterator<Item = &'a Snapshot>) -> (Vec<&'a Snapshot>, usize) {
    let (mut ahead, mut later) = (Vec::new(), 0);
    for one in snapshots {
        if one.clock_ahead().is_some() {
            ahead.push(one);
        }
        later += usize::from(one.stored_later().is_some());
    }
    ahead.sort_by_key(|one| Reverse(one.stored_at));
    (ahead, later)
}

#[cfg(test)]
mod tests;
