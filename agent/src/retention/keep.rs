//! Which snapshots, batches and WAL stay, and why. Each rule only adds reasons; what is not known adds
//! reasons to all that it could be about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ages::{earlier, later};
use super::dropped::over;
use super::hold::{Held, Hold};
use super::reason::Reason;
use super::rule::{Rule, Rules};
use super::stock::{BaseRange, Item, Known, ReleasePoint, Stock, WalItem};
use super::wal::WalSpans;
use crate::archive::manifest::SnapshotKind;
use crate::clock::Timestamp;
use crate::names::wal::TimelineId;
use crate::names::{SnapshotId, TenantName};

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
    let mut work = Work {
        stock,
        rules,
        counted_from,
        young_since: earlier(counted_from, rules.grace),
        over: over(stock, rules, counted_from),
        reasons: HashMap::new(),
        batches: HashMap::new(),
        wal: WalSpans::default(),
    };
    work.all();
    Kept { reasons: work.reasons, batches: work.batches, wal: work.wal }
}

/// Which snapshots a rule chooses from: those that are whole; and, besides, those that may be.
const COUNTS: [fn(&Item) -> bool; 2] = [|item| item.whole, |item| item.may_be_whole];

struct Work<'a> {
    stock: &'a Stock,
    rules: &'a Rules,
    counted_from: Timestamp,
    young_since: Timestamp,
    /// Tenants whose databases have been gone for so long that their last backup is not kept, and since when.
    over: BTreeMap<TenantName, Timestamp>,
    reasons: HashMap<&'a SnapshotId, BTreeSet<Reason>>,
    batches: HashMap<&'a SnapshotId, Reason>,
    wal: WalSpans,
}

impl<'a> Work<'a> {
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

    fn keep(&mut self, id: &'a SnapshotId, reason: Reason) {
        self.reasons.entry(id).or_default().insert(reason);
    }

    fn keep_batch(&mut self, id: &'a SnapshotId, reason: Reason) {
        self.batches.entry(id).or_insert(reason);
    }

    /// The rule of a snapshot; `None` where there is none, so that it stays.
    fn rule(&self, item: &Item) -> Option<&'a Rule> {
        match &item.tenant {
            Some(tenant) => self.rules.tenants.get(tenant),
            None => self.rules.instance.as_ref(),
        }
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

    /// Whether the database of a tenant was gone for all of a span that begins then, and its last backup is
    /// not kept.
    fn was_gone(&self, tenant: Option<&TenantName>, from: Timestamp) -> bool {
        tenant.and_then(|tenant| self.over.get(tenant)).is_some_and(|since| *since <= from)
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

    /// Base backups, WAL and batches of the window, and of spans that are held.
    fn windows(&mut self) {
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
        for hold in self.held() {
            if let Held::Span(from, to) = &hold.held {
                let reason = Reason::Hold(hold.name.clone());
                self.span(*from, *to, &reason);
                self.dumps(*from, *to, &reason);
            }
        }
    }

    /// The dumps of a span, and the last one before it: an instance may have nothing else.
    fn dumps(&mut self, from: Timestamp, to: Timestamp, reason: &Reason) {
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
    fn span(&mut self, from: Timestamp, to: Timestamp, reason: &Reason) {
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
    fn files(&mut self, from: Timestamp, to: Timestamp, of: Option<&TenantName>, reason: &Reason) {
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
        let Some((timeline, lsn)) = one.point else { return };
        let Known::All(wal) = &self.stock.wal else { return };
        for base in bases.into_iter().filter_map(|item| item.base) {
            self.wal.to_point(&base, wal, (timeline, lsn), reason);
        }
    }

    /// The holds that hold. What is not needed without one was in use until it was removed: a restore may
    /// still read it.
    fn held(&self) -> Vec<&'a Hold> {
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

    /// What could not be read may need anything of the kinds that its own kind needs. So may what is not
    /// believed: whoever damages a manifest must not make us delete what it needs.
    fn unknown(&mut self) {
        let all_of = |kinds: &'static [SnapshotKind]| move |item: &&Item| kinds.contains(&item.kind);
        for (id, why) in self.stock.unread.iter().chain(&self.stock.not_believed) {
            let kinds: &'static [SnapshotKind] = match id.kind() {
                "dump" => &[SnapshotKind::Filestore, SnapshotKind::Globals],
                "filestore" => &[SnapshotKind::Filestore],
                "base" => &[SnapshotKind::Base, SnapshotKind::Filestore],
                _ => &[],
            };
            let reason = Reason::Unknown(format!("what {id} needs: {why}"));
            for item in self.stock.items.iter().filter(all_of(kinds)) {
                self.keep(&item.id, reason.clone());
            }
            if id.kind() == "base" {
                self.wal.keep_all(reason.clone());
            }
            if !kinds.is_empty() {
                for batch in self.stock.batches() {
                    self.keep_batch(&batch.id, reason.clone());
                }
            }
        }
        let parts = [
            ("checkpoints of releases", self.stock.releases.why_unknown()),
            ("holds", self.stock.holds.why_unknown()),
        ];
        for (what, why) in parts.into_iter().filter_map(|(what, why)| Some((what, why?))) {
            let reason = Reason::Unknown(format!("{what} could not be read: {why}"));
            self.keep_everything(&reason);
        }
        if let Some(why) = self.stock.suspicions.why_unknown() {
            let reason = Reason::Unknown(format!("suspicious backups could not be read: {why}"));
            for item in self.stock.items.iter().filter(all_of(&[SnapshotKind::Dump, SnapshotKind::Filestore]))
            {
                self.keep(&item.id, reason.clone());
            }
        }
        // Without WAL it cannot be told how far each base backup goes.
        if let Some(why) = self.stock.wal.why_unknown() {
            let reason = Reason::Unknown(format!("WAL could not be listed: {why}"));
            for item in self.stock.items.iter().filter(|item| item.base.is_some()) {
                self.keep(&item.id, reason.clone());
            }
        }
        if let Some(why) = self.stock.tenants.why_unknown() {
            let reason = Reason::Unknown(format!("it is not known which tenants there are: {why}"));
            for batch in self.stock.batches() {
                self.keep_batch(&batch.id, reason.clone());
            }
        }
    }

    /// A snapshot that stays and misses more than it names.
    fn unnamed(&mut self) {
        let misses = |item: &&Item| item.misses_unnamed && self.reasons.contains_key(&item.id);
        if let Some(first) = self.stock.items.iter().find(misses) {
            let reason = Reason::Unknown(format!(
                "{} misses more files than it names; any batch may have them",
                first.id
            ));
            for batch in self.stock.batches() {
                self.keep_batch(&batch.id, reason.clone());
            }
        }
    }

    fn keep_everything(&mut self, reason: &Reason) {
        for item in &self.stock.items {
            self.keep(&item.id, reason.clone());
        }
        for batch in self.stock.batches() {
            self.keep_batch(&batch.id, reason.clone());
        }
        self.wal.keep_all(reason.clone());
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

/// What a window begins with: the last one stored by then. One that says another time than the store counts
/// besides: where it is newer, it may be as good, or made to take the place of the other.
fn starts<'a>(whole: impl DoubleEndedIterator<Item = &'a Item> + Clone, from: Timestamp) -> Vec<&'a Item> {
    let before = whole.filter(|item| item.stored_at <= from);
    let real = before.clone().rfind(|item| item.claims.is_none());
    let newer = before.clone().rfind(|item| real.is_none_or(|real| item.stored_at > real.stored_at));
    real.into_iter().chain(newer).collect()
}
