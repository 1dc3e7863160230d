//! What goes and what stays, and for which reasons: pure, from what is stored and what was promised.
//!
//! Rules (`keep.rs`) only add reasons to stay; what has none goes. So every promise must have its rule:
//! made-up histories (`model.rs`) check that.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::dropped;
use super::garbage::Piece;
use super::keep::kept;
use super::reason::Reason;
use super::rule::Rules;
use super::stock::{Batch, Known, Stock, WalItem};
use super::wal::Span;
use crate::clock::{Timestamp, earlier, later};
use crate::error::{Error, Kind, Result};
use crate::inventory::pick::MARGIN;
use crate::names::{SnapshotId, TenantName, counted};
use crate::store::UnfinishedUpload;

/// How far the rules' time may run beyond the newest thing that is stored: where backups stop, expiry stops.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(86_400);

/// A snapshot or batch that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Goes {
    /// Which.
    pub id: SnapshotId,
    /// Whose.
    pub tenant: Option<TenantName>,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// Size of its objects.
    pub bytes: u64,
}

/// A snapshot that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stays {
    /// Which.
    pub id: SnapshotId,
    /// Whose.
    pub tenant: Option<TenantName>,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// Size of its objects.
    pub bytes: u64,
    /// Why it stays, each reason by itself enough.
    pub reasons: BTreeSet<Reason>,
}

/// What one run of expiry would do.
#[derive(Clone, Debug, Serialize)]
pub struct ExpiryPlan {
    /// The moment for which it was made, by the store's clock.
    pub now: Timestamp,
    /// The moment that the rules counted from: earlier, where nothing was stored for more than a day.
    pub counted_from: Timestamp,
    /// Snapshots that go, in the order in which they were stored.
    pub snapshots: Vec<Goes>,
    /// Batches that go.
    pub batches: Vec<Goes>,
    /// Snapshots without a manifest that nobody writes any more.
    pub unfinished: Vec<SnapshotId>,
    /// WAL that goes.
    pub wal: Vec<WalItem>,
    /// What belongs to no snapshot and is old.
    pub garbage: Vec<Piece>,
    /// Uploads that nobody will finish.
    pub uploads: Vec<UnfinishedUpload>,
    /// Objects that Lifeboat did not write: a person looks at them.
    pub foreign: Vec<String>,
    /// How many more of these there are.
    pub foreign_more: usize,
    /// Snapshots that stay.
    pub stays: Vec<Stays>,
    /// Batches that stay.
    pub batches_stay: usize,
    /// WAL that stays.
    pub wal_stays: Vec<Span>,
    /// Why all of it stays, where it does.
    pub all_wal_stays: Option<Reason>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl ExpiryPlan {
    /// The bytes that are freed.
    pub fn bytes(&self) -> u64 {
        let snapshots = self.snapshots.iter().chain(&self.batches).map(|one| one.bytes);
        let garbage = self.garbage.iter().map(|one| one.bytes).sum::<u64>();
        let uploads = self.uploads.iter().map(|one| one.bytes).sum::<u64>();
        snapshots.sum::<u64>() + self.wal.iter().map(|one| one.bytes).sum::<u64>() + garbage + uploads
    }
}

/// What time the rules count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The store's, now.
    Store(Timestamp),
    /// A moment to come, for what the rules would do then with what is stored now.
    AsOf(Timestamp),
}

/// The plan.
///
/// # Errors
/// `Refused` where something is stored later than now: the store's clock went back.
pub fn plan(stock: &Stock, rules: &Rules, clock: Clock) -> Result<ExpiryPlan> {
    let (Clock::Store(now) | Clock::AsOf(now)) = clock;
    let newest = stock.newest();
    let counted_from = match (clock, newest) {
        (Clock::Store(_), Some(newest)) => {
            if newest.duration_since(now) > MARGIN {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the store's clock says {now}, but the newest object was stored at {newest}"),
                )
                .effect("nothing was deleted: ages cannot be computed")
                .next("correct the clock of the store"));
            }
            now.min(later(newest, STANDS_STILL_AFTER))
        }
        _ => now,
    };
    let kept = kept(stock, rules, counted_from);
    let mut notes = notes(stock);
    notes.extend(dropped::notes(stock, rules, counted_from));
    if counted_from < now {
        notes.insert(
            0,
            format!(
                "nothing was stored since {}: ages are counted up to {counted_from} only, so that expiry stops with the backups",
                newest.unwrap_or(now)
            ),
        );
    }
    let (mut snapshots, mut stays) = (Vec::new(), Vec::new());
    for item in &stock.items {
        let (id, tenant, stored_at, bytes) =
            (item.id.clone(), item.tenant.clone(), item.stored_at, item.bytes);
        match kept.reasons.get(&item.id) {
            Some(reasons) => stays.push(Stays { id, tenant, stored_at, bytes, reasons: reasons.clone() }),
            None => snapshots.push(Goes { id, tenant, stored_at, bytes }),
        }
    }
    let mut batches = Vec::new();
    for batch in stock.batches().iter().filter(|batch| !kept.batches.contains_key(&batch.id)) {
        let Batch { id, stored_at, bytes } = batch.clone();
        batches.push(Goes { id, tenant: None, stored_at, bytes });
    }
    let young_since = earlier(counted_from, rules.grace);
    let is_over = |newest: &Option<Timestamp>| newest.is_some_and(|newest| newest <= young_since);
    // A snapshot whose manifest was lost looks like one that was cut short: what is held or needed stays.
    let is_known = stock.holds.why_unknown().is_none() && stock.releases.why_unknown().is_none();
    let is_kept = |id: &SnapshotId| kept.reasons.contains_key(id) || kept.batches.contains_key(id);
    let unfinished =
        stock.unfinished.iter().filter(|(id, newest)| is_known && is_over(newest) && !is_kept(id));
    let unfinished = unfinished.map(|(id, _)| id.clone()).collect();
    let wal = match &stock.wal {
        Known::All(wal) => kept.wal.goes(wal),
        Known::Unknown(_) => Vec::new(),
    };
    let pieces = stock.garbage.pieces.iter().filter(|one| one.over <= counted_from);
    let begun_before = earlier(now, rules.grace);
    let uploads = stock.garbage.uploads.iter().filter(|one| one.touched_at < begun_before);
    Ok(ExpiryPlan {
        now,
        counted_from,
        snapshots,
        batches_stay: stock.batches().len() - batches.len(),
        batches,
        unfinished,
        wal,
        garbage: pieces.cloned().collect(),
        uploads: uploads.cloned().collect(),
        foreign: stock.garbage.foreign.clone(),
        foreign_more: stock.garbage.foreign_more,
        stays,
        all_wal_stays: kept.wal.all().cloned(),
        wal_stays: kept.wal.into_spans(),
        notes,
    })
}

/// What a person should know of what is stored.
fn notes(stock: &Stock) -> Vec<String> {
    let mut notes = stock.garbage.notes.clone();
    let lacking = stock.items.iter().filter(|item| !item.whole).count();
    if lacking > 0 {
        notes.push(format!(
            "{} incomplete or damaged: they never replace a complete one",
            counted(lacking, "snapshot")
        ));
    }
    let claims = stock.items.iter().filter(|item| item.claims.is_some()).count();
    if claims > 0 {
        notes.push(format!(
            "{} with a time that differs from the store's (wrong clock, or copied repository): kept in addition",
            counted(claims, "snapshot")
        ));
    }
    let not_believed = stock.not_believed.len();
    if not_believed > 0 {
        notes.push(format!(
            "{} not believed: everything they may need is kept until you remove them; run lifeboat verify",
            counted(not_believed, "snapshot")
        ));
    }
    notes
}
