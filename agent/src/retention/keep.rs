//! Which snapshots, batches and WAL stay, and why. Each rule only adds reasons; those of spans of time are in
//! `spans`, those of what is not known in `unknown`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dropped::over;
use super::hold::{Held, Hold};
use super::reason::Reason;
use super::rule::{Rule, Rules};
use super::stock::{BaseRange, Item, Known, ReleasePoint, Stock, WalStock};
use super::wal::WalSpans;
use super::work::{COUNTS, Work, starts};
use crate::archive::manifest::SnapshotKind;
use crate::clock::{Timestamp, earlier};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, SnapshotId, TenantName};

/// What stays.
pub struct Kept<'a> {
    /// Snapshots, each with its reasons.
    pub reasons: HashMap<&'a SnapshotId, BTreeSet<Reason>>,
    /// Batches.
    pub batches: HashMap<&'a SnapshotId, Reason>,
    /// WAL.
    pub wal: WalSpans,
}

/// What stays, if ages are counted up to `counted_from`.
pub fn kept<'a>(stock: &'a Stock, rules: &'a Rules, counted_from: Timestamp) -> Kept<'a> {
    let mut work = Work::new(stock, rules, counted_from);
    work.all();
    work.kept()
}

/// What stays because of holds, whatever else keeps it as well; `None` where no hold holds. [`kept`] names
/// one reason for a batch, and leaves out what a window keeps anyway.
pub fn kept_by_holds<'a>(stock: &'a Stock, rules: &'a Rules, counted_from: Timestamp) -> Option<Kept<'a>> {
    let mut work = Work::new(stock, rules, counted_from);
    if work.held().is_empty() {
        return None;
    }
    work.held_spans();
    work.holds();
    work.files_of_bases();
    work.roles_of_dumps();
    work.needs();
    work.unnamed();
    Some(work.kept())
}

impl<'a> Work<'a> {
    fn new(stock: &'a Stock, rules: &'a Rules, counted_from: Timestamp) -> Work<'a> {
        Work {
            stock,
            rules,
            counted_from,
            young_since: earlier(counted_from, rules.grace),
            over: over(stock, rules, counted_from),
            reasons: HashMap::new(),
            batches: HashMap::new(),
            wal: WalSpans::default(),
        }
    }

    fn kept(self) -> Kept<'a> {
        Kept { reasons: self.reasons, batches: self.batches, wal: self.wal }
    }

    fn all(&mut self) {
        self.young();
        self.groups();
        self.windows();
        self.releases();
        self.holds();
        self.suspicions();
        self.unknown();
        self.files_of_bases();
        self.roles_of_dumps();
        self.needs();
        self.unnamed();
    }

    /// What was stored within the grace: a backup or a restore that runs may need it.
    fn young(&mut self) {
        for item in &self.stock.items {
            if item.stored_at > self.young_since {
                self.keep(&item.id, Reason::Young);
            }
            if self.rule(item).is_none() {
                self.keep(&item.id, Reason::NoClass);
            }
        }
    }

    /// The snapshots of a kind and tenant: the newest, those of the window, and the first of each period.
    fn groups(&mut self) {
        let mut groups: BTreeMap<(&str, Option<&TenantName>), Vec<&'a Item>> = BTreeMap::new();
        for item in &self.stock.items {
            groups.entry((item.kind.as_str(), item.tenant.as_ref())).or_default().push(item);
        }
        for group in groups.into_values() {
            let Some(rule) = group.first().and_then(|item| self.rule(item)) else { continue };
            let from = earlier(self.counted_from, rule.window);
            for item in group.iter().filter(|item| item.stored_at >= from) {
                self.keep(&item.id, Reason::Window);
            }
            let tenant = group.first().and_then(|item| item.tenant.as_ref());
            let is_over = tenant.is_some_and(|tenant| self.over.contains_key(tenant));
            // Where none is whole, a part is better than nothing.
            let last = group.last().filter(|_| !is_over && !group.iter().any(|item| item.may_be_whole));
            if let Some(last) = last {
                self.keep(&last.id, Reason::Newest);
            }
            for counts in COUNTS {
                let whole = || group.iter().copied().filter(|item| counts(item));
                let newest = whole().rfind(|item| item.claims.is_none()).or_else(|| whole().next_back());
                if let Some(newest) = newest.filter(|_| !is_over) {
                    self.keep(&newest.id, Reason::Newest);
                }
                if !self.was_gone(tenant, from) {
                    for start in starts(whole(), from) {
                        self.keep(&start.id, Reason::WindowStart);
                    }
                }
                self.periods(rule, whole());
            }
        }
    }

    fn periods(&mut self, rule: &Rule, whole: impl Iterator<Item = &'a Item> + Clone) {
        let zone = &self.rules.zone;
        for (period, count) in rule.periods.iter().filter(|(_, count)| **count > 0) {
            let current = period.number(self.counted_from, zone);
            let mut filled = BTreeSet::new();
            for item in whole.clone() {
                let number = period.number(item.claims.unwrap_or(item.stored_at), zone);
                let counts = number > current - i64::from(*count);
                if counts && filled.insert((item.claims.is_some(), number)) {
                    self.keep(&item.id, Reason::First(*period));
                }
            }
        }
    }

    /// What it takes to go back to a release that is not too old, or is held.
    fn releases(&mut self) {
        let Known::All(releases) = &self.stock.releases else { return };
        let newest = releases.iter().map(|one| one.stored_at).max();
        for one in releases {
            let rules: Vec<Option<&Rule>> =
                one.tenants.iter().map(|tenant| self.rules.tenants.get(tenant)).collect();
            let longest = rules.iter().flatten().map(|rule| rule.releases).max();
            let is_new = |span| one.stored_at >= earlier(self.counted_from, span);
            let stays = rules.iter().any(Option::is_none) || longest.is_none_or(is_new);
            if stays || Some(one.stored_at) == newest {
                self.release(one, &Reason::Release(one.release.clone()));
            }
        }
    }

    fn release(&mut self, one: &'a ReleasePoint, reason: &Reason) {
        let named = || self.stock.items.iter().filter(|item| one.names.contains(&item.id));
        // Its base backup is named with the chain; WAL is replayed from the last of it only.
        let last = |item: &&Item| {
            let is_parent = |other: &Item| other.id != item.id && other.needs.contains(&item.id);
            item.base.is_some() && !named().any(is_parent)
        };
        let bases: Vec<&'a Item> = named().filter(last).collect();
        for id in &one.names {
            let is_parent = |base: &&&Item| base.id != *id && base.needs.contains(id);
            match (id.kind() == SnapshotKind::Arrivals.as_str(), bases.iter().find(is_parent)) {
                (true, _) => self.keep_batch(id, reason.clone()),
                (false, Some(base)) => self.keep(id, Reason::NeededBy(base.id.clone())),
                (false, None) => self.keep(id, reason.clone()),
            }
        }
        for item in &self.stock.items {
            if item.release.as_ref() == Some(&one.release) {
                self.keep(&item.id, reason.clone());
            }
        }
        let Some(point) = one.point else { return };
        let Known::All(wal) = &self.stock.wal else { return };
        let is_lost = !bases.iter().any(|base| base.whole);
        let others = if is_lost { self.last_bases(wal, point, one.stored_at) } else { Vec::new() };
        others.iter().for_each(|base| self.keep(&base.id, reason.clone()));
        for base in bases.into_iter().chain(others).filter_map(|item| item.base) {
            self.wal.to_point(&base, wal, point, reason);
        }
    }

    /// The last base backup from which a point can be reached, for a release whose own one is gone: it may be
    /// held after years, while an older one stays for another reason. The last whole one that was stored
    /// before the release, the last whole one, and the last one that may be whole.
    fn last_bases(
        &self,
        wal: &WalStock,
        (timeline, lsn): (TimelineId, Lsn),
        released: Timestamp,
    ) -> Vec<&'a Item> {
        let leads = |base: &BaseRange| match base.timeline == timeline {
            true => base.stop <= lsn,
            false => wal.comes_from(timeline, base),
        };
        let leading = || {
            let bases = self.stock.items.iter().filter_map(|item| Some((item.base.as_ref()?, item)));
            bases.filter(|(base, item)| leads(base) && item.may_be_whole)
        };
        let last = |one: Option<(&BaseRange, &'a Item)>| one.map(|(_, item)| item);
        let by_end = |(base, _): &(&BaseRange, &Item)| (base.timeline, base.stop);
        let whole = || leading().filter(|(_, item)| item.whole);
        let is_plain = |(_, item): &(&BaseRange, &Item)| item.claims.is_none() && item.stored_at <= released;
        let plain = last(whole().filter(is_plain).max_by_key(by_end));
        let others = [last(whole().max_by_key(by_end)), last(leading().max_by_key(by_end))];
        plain.into_iter().chain(others.into_iter().flatten()).collect()
    }

    /// The holds that hold. What is not needed without one was in use until it was removed: a restore may
    /// still read it.
    pub(super) fn held(&self) -> Vec<&'a Hold> {
        let Known::All(holds) = &self.stock.holds else { return Vec::new() };
        let young_since = self.young_since;
        holds.iter().filter(|hold| hold.removed.is_none_or(|removed| removed > young_since)).collect()
    }

    fn holds(&mut self) {
        for hold in self.held() {
            let reason = Reason::Hold(hold.name.clone());
            match &hold.held {
                Held::Snapshot(id) => match id.kind() == SnapshotKind::Arrivals.as_str() {
                    true => self.keep_batch(id, reason),
                    false => self.keep(id, reason),
                },
                Held::Release(release) => {
                    if let Known::All(releases) = &self.stock.releases {
                        for one in releases.iter().filter(|one| one.release == *release) {
                            self.release(one, &reason);
                        }
                    }
                    for item in self.stock.items.iter().filter(|item| item.release.as_ref() == Some(release))
                    {
                        self.keep(&item.id, reason.clone());
                    }
                }
                Held::Tenant(tenant) => {
                    let of = |item: &&Item| item.tenant.as_ref() == Some(tenant);
                    let items: Vec<&'a Item> = self.stock.items.iter().filter(of).collect();
                    for item in &items {
                        self.keep(&item.id, reason.clone());
                    }
                    if let Some(first) = items.first() {
                        self.files(first.stored_at, Timestamp::MAX, Some(tenant), &reason);
                    }
                }
                Held::Span(..) => {} // with the windows
            }
        }
    }

    /// The last good snapshots before a suspicious backup, for as long as its record says.
    fn suspicions(&mut self) {
        let Known::All(suspicions) = &self.stock.suspicions else { return };
        let now = self.counted_from;
        for one in suspicions.iter().filter(|one| one.until > now) {
            for id in &one.good {
                self.keep(id, Reason::GoodBefore(one.suspicious.clone()));
            }
        }
    }

    /// A base backup that stays for another reason than the window can be restored to the moment that it was
    /// consistent at: with the files of that moment.
    fn files_of_bases(&mut self) {
        let kept: Vec<&'a Item> = self
            .stock
            .items
            .iter()
            .filter(|item| item.base.is_some())
            .filter(|item| {
                let reasons = self.reasons.get(&item.id);
                reasons.is_some_and(|reasons| {
                    let is_parent = |reason: &Reason| matches!(reason, Reason::NeededBy(_));
                    !reasons.contains(&Reason::Window) && !reasons.iter().all(is_parent)
                })
            })
            .collect();
        for item in kept {
            let reason = Reason::NeededBy(item.id.clone());
            if let (Some(base), Known::All(_)) = (item.base, &self.stock.wal) {
                self.wal.own(&base, &reason);
            }
            self.files(item.stored_at, item.stored_at, None, &reason);
        }
    }

    /// A dump is restored with the roles of its time: those stored last before it, and first after it.
    fn roles_of_dumps(&mut self) {
        let roles: Vec<&'a Item> =
            self.stock.items.iter().filter(|item| item.kind == SnapshotKind::Globals).collect();
        let kept: Vec<&'a Item> = self
            .stock
            .items
            .iter()
            .filter(|item| item.kind == SnapshotKind::Dump && self.reasons.contains_key(&item.id))
            .collect();
        for dump in kept {
            let at = roles.partition_point(|one| one.stored_at <= dump.stored_at);
            let around = [at.checked_sub(1), Some(at)].into_iter().flatten();
            for one in around.filter_map(|at| roles.get(at)) {
                self.keep(&one.id, Reason::NeededBy(dump.id.clone()));
            }
        }
    }

    /// What those that stay need.
    fn needs(&mut self) {
        let needed: Vec<(&'a SnapshotId, &'a SnapshotId)> = self
            .stock
            .items
            .iter()
            .filter(|item| self.reasons.contains_key(&item.id))
            .flat_map(|item| item.needs.iter().filter(|id| **id != item.id).map(|id| (&item.id, id)))
            .collect();
        for (by, id) in needed {
            let reason = Reason::NeededBy(by.clone());
            match id.kind() == SnapshotKind::Arrivals.as_str() {
                true => self.keep_batch(id, reason),
                // One such reason is enough: a chain has many.
                false => {
                    let reasons = self.reasons.entry(id).or_default();
                    if !reasons.iter().any(|reason| matches!(reason, Reason::NeededBy(_))) {
                        reasons.insert(reason);
                    }
                }
            }
        }
    }
}
