//! What the rules work on: what stays so far, each with its reasons.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::reason::Reason;
use super::rule::{Rule, Rules};
use super::stock::{Item, Stock};
use super::wal::WalSpans;
use crate::clock::Timestamp;
use crate::names::{SnapshotId, TenantName};

/// Which snapshots a rule chooses from: those that are whole; and, besides, those that may be.
pub(super) const COUNTS: [fn(&Item) -> bool; 2] = [|item| item.whole, |item| item.may_be_whole];

/// The rules at work.
pub(super) struct Work<'a> {
    pub(super) stock: &'a Stock,
    pub(super) rules: &'a Rules,
    pub(super) counted_from: Timestamp,
    pub(super) young_since: Timestamp,
    /// Tenants whose databases have been gone for so long that their last backup is not kept, and since when.
    pub(super) over: BTreeMap<TenantName, Timestamp>,
    pub(super) reasons: HashMap<&'a SnapshotId, BTreeSet<Reason>>,
    pub(super) batches: HashMap<&'a SnapshotId, Reason>,
    pub(super) wal: WalSpans,
}

impl<'a> Work<'a> {
    pub(super) fn keep(&mut self, id: &'a SnapshotId, reason: Reason) {
        self.reasons.entry(id).or_default().insert(reason);
    }

    pub(super) fn keep_batch(&mut self, id: &'a SnapshotId, reason: Reason) {
        self.batches.entry(id).or_insert(reason);
    }

    /// The rule of a snapshot; `None` where there is none, so that it stays.
    pub(super) fn rule(&self, item: &Item) -> Option<&'a Rule> {
        match &item.tenant {
            Some(tenant) => self.rules.tenants.get(tenant),
            None => self.rules.instance.as_ref(),
        }
    }

    /// Whether the database of a tenant was gone for all of a span that begins then, and its last backup is
    /// not kept.
    pub(super) fn was_gone(&self, tenant: Option<&TenantName>, from: Timestamp) -> bool {
        tenant.and_then(|tenant| self.over.get(tenant)).is_some_and(|since| *since <= from)
    }
}

/// What a window begins with: the last one stored by then. One that says another time than the store counts
/// besides: where it is newer, it may be as good, or made to take the place of the other.
pub(super) fn starts<'a>(
    whole: impl DoubleEndedIterator<Item = &'a Item> + Clone,
    from: Timestamp,
) -> Vec<&'a Item> {
    let before = whole.filter(|item| item.stored_at <= from);
    let real = before.clone().rfind(|item| item.claims.is_none());
    let newer = before.clone().rfind(|item| real.is_none_or(|real| item.stored_at > real.stored_at));
    real.into_iter().chain(newer).collect()
}
