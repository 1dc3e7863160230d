//! What a span of time needs so that every moment of it can be restored: base backups, WAL, files.

use std::collections::{BTreeMap, BTreeSet};

use super::hold::Held;
use super::reason::Reason;
use super::stock::{BaseRange, Item, Known, WalItem};
use super::work::{COUNTS, Work, starts};
use crate::archive::manifest::SnapshotKind;
use crate::clock::{Timestamp, earlier, later};
use crate::names::wal::TimelineId;
use crate::names::{SnapshotId, TenantName};

impl<'a> Work<'a> {
    /// Base backups, WAL and batches of the window, and of spans that are held.
    pub(super) fn windows(&mut self) {
        let Some(rule) = &self.rules.instance else {
            self.wal.keep_all(Reason::NoClass);
            for batch in self.stock.batches() {
                self.keep_batch(&batch.id, Reason::NoClass);
            }
            return;
        };
        let from = earlier(self.counted_from, rule.window).min(self.young_since);
        self.span(from, Timestamp::MAX, &Reason::Window);
        self.wal.keep_stored_since(from, Reason::Window);
        self.held_spans();
    }

    /// Spans that are held.
    pub(super) fn held_spans(&mut self) {
        for hold in self.held() {
            if let Held::Span(from, to) = &hold.held {
                let reason = Reason::Hold(hold.name.clone());
                self.span(*from, *to, &reason);
                self.dumps(*from, *to, &reason);
            }
        }
    }

    /// The dumps of a span, and the last one before it: an instance may have nothing else.
    pub(super) fn dumps(&mut self, from: Timestamp, to: Timestamp, reason: &Reason) {
        let mut groups: BTreeMap<Option<&TenantName>, Vec<&'a Item>> = BTreeMap::new();
        for item in self.stock.items.iter().filter(|item| item.kind == SnapshotKind::Dump) {
            groups.entry(item.tenant.as_ref()).or_default().push(item);
        }
        for group in groups.into_values() {
            let before = COUNTS
                .into_iter()
                .flat_map(|counts| starts(group.iter().copied().filter(move |item| counts(item)), from));
            let within = group.iter().copied().filter(|item| item.stored_at > from && item.stored_at <= to);
            let kept: Vec<&'a Item> = before.chain(within).collect();
            kept.into_iter().for_each(|item| self.keep(&item.id, reason.clone()));
        }
    }

    /// Every moment between the two can be restored: of the instance, and the files of each tenant.
    pub(super) fn span(&mut self, from: Timestamp, to: Timestamp, reason: &Reason) {
        let bases = || self.stock.items.iter().filter(|item| item.base.is_some() && item.may_be_whole);
        let within = bases().filter(|item| item.stored_at > from && item.stored_at <= to);
        let all: Vec<&'a Item> = self.base_starts(from, to).into_iter().chain(within).collect();
        for item in &all {
            let reason = match (reason, item.stored_at <= from) {
                (Reason::Window, true) => Reason::WindowStart,
                _ => reason.clone(),
            };
            self.keep(&item.id, reason);
        }
        // WAL is stored after the moments that it holds.
        let stored_until = later(to, self.rules.grace);
        if let Known::All(wal) = &self.stock.wal {
            for base in all.iter().filter_map(|item| item.base) {
                self.wal.from_base(&base, wal, stored_until, reason);
            }
        }
        self.files(from, to, None, reason);
    }

    /// The base backups that a span begins with: the last one that leads to each timeline of the span. A
    /// server that was taken back to before its last base backup is served by an older one.
    fn base_starts(&mut self, from: Timestamp, to: Timestamp) -> Vec<&'a Item> {
        let before = || {
            let bases = self.stock.items.iter().filter_map(|item| item.base.map(|base| (item, base)));
            bases.filter(|(item, _)| item.stored_at <= from)
        };
        let Known::All(wal) = &self.stock.wal else { return Vec::new() };
        // The clock of the store need not be the server's: a timeline that came about then may be stored
        // before.
        let since = earlier(from, self.rules.grace);
        let is_in = |item: &&WalItem| item.stored_at >= since && item.stored_at <= to;
        let mut timelines: BTreeSet<TimelineId> =
            wal.items.iter().filter(is_in).map(|item| item.timeline).collect();
        let at_first =
            wal.items.iter().filter(|item| item.stored_at < since).max_by_key(|item| item.stored_at);
        timelines.extend(at_first.map(|item| item.timeline));
        let mut found: BTreeMap<&SnapshotId, &'a Item> = BTreeMap::new();
        for timeline in timelines {
            let leads = |base: &BaseRange| base.timeline == timeline || wal.comes_from(timeline, base);
            for counts in COUNTS {
                let leading = before().filter(|(item, base)| counts(item) && leads(base));
                let leading: Vec<&'a Item> = leading.map(|(item, _)| item).collect();
                found.extend(starts(leading.into_iter(), from).into_iter().map(|item| (&item.id, item)));
            }
        }
        if let Some(unknown) = wal.unknown.first() {
            let why = Reason::Unknown(format!("where timeline {unknown} comes from is not known"));
            let all: Vec<&'a Item> = before().map(|(item, _)| item).collect();
            all.iter().for_each(|item| self.keep(&item.id, why.clone()));
            // It may begin on any other, wherever that is.
            self.wal.keep_all(why);
        }
        found.into_values().collect()
    }

    /// The filestores and batches that hold the files of every moment between the two, for one tenant or all:
    /// from the last filestore before the first moment to the first after the second.
    pub(super) fn files(&mut self, from: Timestamp, to: Timestamp, of: Option<&TenantName>, reason: &Reason) {
        // A tenant without any backup of its filestore has batches alone.
        let known = match &self.stock.tenants {
            Known::All(tenants) => tenants.iter().collect(),
            Known::Unknown(_) => Vec::new(), // then all batches stay
        };
        let known = known.into_iter().filter(|tenant| of.is_none_or(|of| of == *tenant));
        let mut tenants: BTreeMap<Option<&TenantName>, Vec<&'a Item>> =
            known.map(|tenant| (Some(tenant), Vec::new())).collect();
        for item in &self.stock.items {
            let counts = item.kind == SnapshotKind::Filestore && item.may_be_whole;
            if counts && (of.is_none() || item.tenant.as_ref() == of) {
                tenants.entry(item.tenant.as_ref()).or_default().push(item);
            }
        }
        let (mut batches_from, mut batches_to) = (from, to);
        for (tenant, filestores) in tenants {
            if !matches!(reason, Reason::Hold(_)) && self.was_gone(tenant, from) {
                continue;
            }
            let whole = |counts: fn(&Item) -> bool| {
                starts(filestores.iter().copied().filter(move |item| counts(item)), from)
            };
            let before: Vec<&'a Item> = COUNTS.into_iter().flat_map(whole).collect();
            // The oldest of them: another one may be in its place for nothing.
            match before.iter().map(|item| item.stored_at).min() {
                Some(stored_at) => batches_from = batches_from.min(stored_at),
                // Nothing but batches may hold what was stored before the first backup.
                None => batches_from = Timestamp::MIN,
            }
            let mut after = filestores.iter().filter(|item| item.stored_at > to);
            let real = after.clone().find(|item| item.claims.is_none() && item.whole);
            let after = after.next().into_iter().chain(real);
            // An agent that was down stores a file late: at the next backup of the filestore at the latest.
            batches_to = batches_to.max(real.map_or(Timestamp::MAX, |real| real.stored_at));
            let between = filestores.iter().filter(|item| item.stored_at > from && item.stored_at <= to);
            let kept: Vec<&'a Item> = before.iter().chain(between).chain(after).copied().collect();
            for item in kept {
                self.keep(&item.id, reason.clone());
            }
        }
        // A filestore was walked for a while before it was stored: one grace more.
        let batches_from = earlier(batches_from, self.rules.grace);
        let batches_to = later(batches_to, self.rules.grace);
        for batch in self.stock.batches() {
            if batch.stored_at >= batches_from && batch.stored_at <= batches_to {
                self.keep_batch(&batch.id, reason.clone());
            }
        }
    }
}
