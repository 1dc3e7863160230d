//! Made-up histories of a site, and what was promised in them: after each expiry, everything that could be
//! restored before it, and that the rules promise, can be restored after it. What can be restored is judged
//! here by other means than the plan's own.
//!
//! `TEST_TIMES=1000000 cargo test --release -p lifeboat --lib retention::model` runs a million of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};

use super::hold::{Held, Hold};
use super::phases::{Pending, Phases, phases};
use super::plan::{Clock, ExpiryPlan, plan};
use super::rule::{Period, Rule, Rules};
use super::stock::{BaseRange, Batch, Item, Known, ReleasePoint, Stock, WalItem, WalStock};
use crate::archive::manifest::SnapshotKind;
use crate::archive::wal_history::Ancestor;
use crate::clock::Timestamp;
use crate::names::wal::TimelineId;
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};

const SEGMENT: u64 = 16 << 20;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// WAL is stored so much later than what it says.
const WAL_LATER: i64 = 600;
const GRACE: Duration = Duration::from_secs(6 * 3_600);
/// Histories of a run that nobody asks for more of.
const TIMES: u64 = 250;

/// Numbers that look random; the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_of(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A file of a tenant's filestore.
struct File {
    tenant: usize,
    born: i64,
    /// When no row named it any more; the collector removes it from the disk then.
    gone: Option<i64>,
    batches: Vec<SnapshotId>,
}

/// What a filestore snapshot lists: files, each in the packs of some snapshot.
type Lists = BTreeMap<SnapshotId, Vec<usize>>;

struct World {
    dice: Dice,
    now: i64,
    number: u32,
    may_be_blind: bool,
    tenants: Vec<TenantName>,
    rules: Rules,
    files: Vec<File>,
    lists: Lists,
    /// The packs that hold a file.
    home: BTreeMap<usize, SnapshotId>,
    items: Vec<Item>,
    unfinished: Vec<(SnapshotId, i64)>,
    batches: Vec<Batch>,
    wal: WalStock,
    releases: Vec<ReleasePoint>,
    holds: Vec<Hold>,
    pending: Vec<Pending>,
    /// Since when every run let it go.
    unneeded: HashMap<SnapshotId, i64>,
    timeline: TimelineId,
    lsn: u64,
    /// Where the server was at each time.
    log: Vec<(i64, TimelineId, u64)>,
    /// Real snapshots that are the first of a period, as long as that is promised.
    promised: Vec<First>,
    firsts: HashSet<(String, Period, String)>,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed);
        let zone = if dice.one_of(2) { TimeZone::UTC } else { berlin() };
        let tenants: Vec<TenantName> = ["shop", "mill"].map(|name| name.parse().unwrap()).to_vec();
        let rules = Rules { tenants: BTreeMap::new(), instance: None, zone, grace: GRACE };
        let mut world = World {
            dice,
            now: 1_780_000_000,
            number: 0,
            may_be_blind: true,
            tenants,
            rules,
            files: Vec::new(),
            lists: Lists::new(),
            home: BTreeMap::new(),
            items: Vec::new(),
            unfinished: Vec::new(),
            batches: Vec::new(),
            wal: WalStock::default(),
            releases: Vec::new(),
            holds: Vec::new(),
            pending: Vec::new(),
            unneeded: HashMap::new(),
            timeline: TimelineId(1),
            lsn: 3 * SEGMENT,
            log: Vec::new(),
            promised: Vec::new(),
            firsts: HashSet::new(),
        };
        world.choose_rules();
        world
    }

    fn choose_rules(&mut self) {
        let rule = |dice: &mut Dice| {
            let counts = Period::ALL.map(|period| (period, dice.below(6) as u32));
            Rule {
                window: Duration::from_secs(dice.below(8) * DAY as u64),
                periods: counts.into_iter().collect(),
                releases: Duration::from_secs(dice.below(20) * DAY as u64),
            }
        };
        let mut instance: Option<Rule> = None;
        for tenant in &self.tenants {
            let rule = rule(&mut self.dice);
            instance = Some(instance.map_or(rule.clone(), |other| other.or(&rule)));
            self.rules.tenants.insert(tenant.clone(), rule);
        }
        self.rules.instance = instance;
    }

    fn id(&mut self, kind: SnapshotKind) -> SnapshotId {
        self.number += 1;
        format!("20261120T000000Z-{kind}-{:08x}", self.number).parse().unwrap()
    }

    fn put(
        &mut self,
        kind: SnapshotKind,
        tenant: Option<usize>,
        needs: BTreeSet<SnapshotId>,
        id: SnapshotId,
    ) {
        // A clock that is wrong, or somebody who says so.
        let claims = self.dice.one_of(25).then(|| {
            let wrong = (self.dice.below(800) as i64 - 400) * DAY;
            at(self.now + wrong.min(0))
        });
        let claims = claims.filter(|claims| *claims < at(self.now - HOUR));
        let mut needs = needs;
        needs.insert(id.clone());
        let tenant = tenant.map(|tenant| self.tenants[tenant].clone());
        if claims.is_none() {
            self.promise(&id, kind, tenant.as_ref());
        }
        self.items.push(Item {
            id,
            kind,
            tenant,
            release: None,
            stored_at: at(self.now),
            claims,
            bytes: 1,
            whole: true,
            may_be_whole: true,
            needs,
            base: None,
            misses_unnamed: false,
        });
    }

    /// It is the first of the periods in which there is no other yet.
    fn promise(&mut self, id: &SnapshotId, kind: SnapshotKind, tenant: Option<&TenantName>) {
        let now = at(self.now).to_zoned(self.rules.zone.clone());
        for period in Period::ALL {
            let group = format!("{kind} {tenant:?}");
            if self.firsts.insert((group, period, name(period, &now))) {
                let (id, tenant, stored_at) = (id.clone(), tenant.cloned(), at(self.now));
                self.promised.push(First { id, tenant, stored_at, period });
            }
        }
    }

    /// Some hours pass: the server writes, files come and go, the agent streams and follows.
    fn pass(&mut self, hours: u64) {
        for _ in 0..hours {
            self.now += HOUR;
            if self.dice.one_of(3) {
                self.write_wal();
            }
            self.log.push((self.now, self.timeline, self.lsn));
        }
        if self.dice.one_of(2) {
            let tenant = self.dice.below(2) as usize;
            let born = self.now;
            self.files.push(File { tenant, born, gone: None, batches: Vec::new() });
            if self.dice.one_of(2) {
                self.batch_of(self.files.len() - 1);
            }
        }
        if !self.files.is_empty() && self.dice.one_of(4) {
            let file = self.dice.below(self.files.len() as u64) as usize;
            let now = self.now;
            self.files[file].gone.get_or_insert(now);
        }
    }

    fn batch_of(&mut self, file: usize) -> SnapshotId {
        let id = self.id(SnapshotKind::Arrivals);
        self.files[file].batches.push(id.clone());
        self.batches.push(Batch { id: id.clone(), stored_at: at(self.now), bytes: 1 });
        id
    }

    fn write_wal(&mut self) {
        let segment = self.lsn / SEGMENT;
        self.lsn += SEGMENT / 2 + self.dice.below(SEGMENT / 2);
        // Whole segments, and the one that grows in pieces.
        for number in segment..=self.lsn / SEGMENT {
            let begin = (number * SEGMENT).max(self.lsn.min(number * SEGMENT));
            let end = ((number + 1) * SEGMENT).min(self.lsn);
            if end > begin {
                let (begin, end) = (Lsn(begin), Lsn(end));
                let stored_at = at(self.now + WAL_LATER);
                self.wal.items.push(WalItem { timeline: self.timeline, begin, end, stored_at, bytes: 1 });
            }
        }
    }

    fn filestore(&mut self, tenant: usize) -> SnapshotId {
        let id = self.id(SnapshotKind::Filestore);
        let on_disk: Vec<usize> = (0..self.files.len())
            .filter(|file| self.files[*file].tenant == tenant && self.files[*file].gone.is_none())
            .collect();
        let present: BTreeSet<SnapshotId> = self.items.iter().map(|item| item.id.clone()).collect();
        let is_full = self.dice.one_of(6);
        let mut needs = BTreeSet::new();
        for file in &on_disk {
            let home = self.home.get(file).filter(|home| !is_full && present.contains(*home));
            let home = home.cloned().unwrap_or_else(|| id.clone());
            needs.insert(home.clone());
            self.home.insert(*file, home);
        }
        self.lists.insert(id.clone(), on_disk);
        self.put(SnapshotKind::Filestore, Some(tenant), needs, id.clone());
        id
    }

    fn dump(&mut self, tenant: usize) {
        let filestore = self.filestore(tenant);
        let needs = self.items.last().unwrap().needs.clone();
        let id = self.id(SnapshotKind::Dump);
        assert!(needs.contains(&filestore) || !needs.is_empty());
        let mut needs = needs;
        needs.insert(filestore);
        self.put(SnapshotKind::Dump, Some(tenant), needs, id);
        if self.dice.one_of(2) {
            let id = self.id(SnapshotKind::Globals);
            self.put(SnapshotKind::Globals, None, BTreeSet::new(), id);
        }
    }

    fn base(&mut self) {
        let id = self.id(SnapshotKind::Base);
        let parent = self.items.iter().rfind(|item| item.base.is_some() && item.claims.is_none());
        let chain = parent.filter(|parent| parent.needs.len() < 4).map(|parent| parent.needs.clone());
        let chain = chain.filter(|_| !self.dice.one_of(3)).unwrap_or_default();
        let start = self.lsn;
        self.write_wal();
        self.log.push((self.now, self.timeline, self.lsn));
        self.put(SnapshotKind::Base, None, chain, id);
        let stop = Lsn(self.lsn);
        let base = BaseRange { timeline: self.timeline, start: Lsn(start), stop, segment: SEGMENT };
        self.items.last_mut().unwrap().base = Some(base);
    }

    /// The server goes back some way, or is promoted: a new timeline.
    fn switch(&mut self) {
        let back = self.dice.below(3) * SEGMENT;
        let from = self.timeline;
        let mut ancestors = self.wal.histories.get(&from).cloned().unwrap_or_default();
        let floor = ancestors.last().map_or(3 * SEGMENT, |last| last.until.0);
        let until = self.lsn.saturating_sub(back).max(floor);
        ancestors.push(Ancestor { timeline: from, until: Lsn(until) });
        let newest = self.wal.histories.keys().last().map_or(1, |last| last.0);
        self.timeline = TimelineId(newest + 1);
        self.wal.histories.insert(self.timeline, ancestors);
        self.lsn = until;
        // The new timeline's first segment begins with a copy.
        let (begin, end) = (Lsn(until / SEGMENT * SEGMENT), Lsn(until));
        if end > begin {
            let stored_at = at(self.now);
            self.wal.items.push(WalItem { timeline: self.timeline, begin, end, stored_at, bytes: 1 });
        }
    }

    fn release(&mut self) {
        let leads =
            |base: BaseRange| base.timeline == self.timeline || self.wal.comes_from(self.timeline, &base);
        let base = self.items.iter().rfind(|item| item.base.is_some_and(leads)).cloned();
        let Some(base) = base else { return };
        let mut names = base.needs.clone();
        for number in 0..self.files.len() {
            if self.files[number].gone.is_some() {
                continue;
            }
            let listed = self.lists.iter().filter(|(_, files)| files.contains(&number)).map(|(id, _)| id);
            let mut listed = listed.filter(|id| self.items.iter().any(|item| item.id == **id));
            let listed = listed.next_back().cloned();
            let here = self.files[number].batches.last().cloned();
            let here = here.filter(|id| self.batches.iter().any(|batch| batch.id == *id));
            // A checkpoint stores what is not stored yet.
            let home = listed.or(here).unwrap_or_else(|| self.batch_of(number));
            names.insert(home);
        }
        self.number += 1;
        let release: ReleaseId = format!("r{}", self.number).parse().unwrap();
        let (stored_at, point) = (at(self.now), Some((self.timeline, Lsn(self.lsn))));
        let tenants = self.tenants.clone();
        self.releases.push(ReleasePoint { release, stored_at, tenants, names, point });
    }

    fn hold(&mut self) {
        if self.dice.one_of(3) && !self.holds.is_empty() {
            let now = at(self.now);
            self.holds[0].removed.get_or_insert(now);
            self.holds.rotate_left(1);
            return;
        }
        self.number += 1;
        let some = |dice: &mut Dice, n: usize| dice.below(n.max(1) as u64) as usize;
        let held = match self.dice.below(4) {
            0 if !self.items.is_empty() => {
                let which = some(&mut self.dice, self.items.len());
                Held::Snapshot(self.items[which].id.clone())
            }
            1 if !self.releases.is_empty() => {
                let which = some(&mut self.dice, self.releases.len());
                Held::Release(self.releases[which].release.clone())
            }
            2 => Held::Tenant(self.tenants[0].clone()),
            _ => {
                let from = self.now - self.dice.below(20) as i64 * DAY;
                Held::Span(at(from), at(from + 2 * DAY))
            }
        };
        let (reason, by) = ("case 7".to_owned(), "counsel".to_owned());
        self.holds.push(Hold {
            name: format!("h{}", self.number),
            held,
            reason,
            by,
            since: at(self.now),
            removed: None,
        });
    }

    /// What the plan sees: now and then, something cannot be read.
    fn stock(&mut self) -> Stock {
        let (mut items, mut unread, mut not_believed) = (Vec::new(), Vec::new(), Vec::new());
        let blind = self.may_be_blind && self.dice.one_of(4);
        let unknown = |dice: &mut Dice| blind && dice.one_of(4);
        for item in &self.items {
            match (blind && self.dice.one_of(8), self.dice.one_of(3)) {
                (true, false) => unread.push((item.id.clone(), "refused".to_owned())),
                // Damaged, and repaired later.
                (true, true) => not_believed.push((item.id.clone(), "another digest".to_owned())),
                (false, _) => items.push(item.clone()),
            }
        }
        let told: HashSet<&SnapshotId> = items.iter().map(|item| &item.id).collect();
        let whole: Vec<bool> =
            items.iter().map(|item| item.needs.iter().all(|id| told.contains(id))).collect();
        // Whatever is lacking here could not be read, or is damaged.
        items.iter_mut().zip(whole).for_each(|(item, whole)| item.whole = whole);
        let part = |is_unknown: bool| is_unknown.then(|| "refused".to_owned());
        let parts = [0; 4].map(|_| part(unknown(&mut self.dice)));
        let [batches, wal, releases, holds] = parts;
        fn known<T>(why: Option<String>, all: T) -> Known<T> {
            why.map_or(Known::All(all), Known::Unknown)
        }
        Stock {
            items,
            unread,
            not_believed,
            unfinished: self.unfinished.iter().map(|(id, at_)| (id.clone(), Some(at(*at_)))).collect(),
            batches: known(batches, self.batches.clone()),
            wal: known(wal, self.wal.clone()),
            releases: known(releases, self.releases.clone()),
            holds: known(holds, self.holds.clone()),
            not_removed: Vec::new(),
            tenants: Known::All(self.tenants.iter().cloned().collect()),
        }
    }

    fn expire(&mut self) {
        let stock = self.stock();
        let plan = plan(&stock, &self.rules, Clock::Store(at(self.now))).unwrap();
        let phases = phases(&stock, &plan, &self.pending, GRACE);
        self.check_grace(&stock, &plan, &phases);
        let before = self.restorable();
        let gone: HashSet<&SnapshotId> = phases.snapshots.iter().collect();
        self.items.retain(|item| !gone.contains(&item.id));
        self.batches.retain(|batch| !gone.contains(&batch.id));
        self.unfinished.retain(|(id, _)| !phases.unfinished.contains(id));
        let key = |one: &WalItem| (one.timeline, one.begin, one.end, one.stored_at);
        let wal: HashSet<_> = phases.wal.iter().map(key).collect();
        self.wal.items.retain(|one| !wal.contains(&key(one)));
        self.pending.retain(|one| !phases.withdrawn.contains(&one.run));
        if !phases.announced.is_empty() {
            let run = self.id(SnapshotKind::Config);
            self.pending.push(Pending { run, named: phases.announced, stored_at: at(self.now) });
        }
        let after = self.restorable();
        for point in &before {
            assert!(after.contains(point), "lost: {point:?}\n{plan:#?}");
        }
        self.check_periods();
    }

    /// What is deleted was needed by no run for a grace.
    fn check_grace(&mut self, stock: &Stock, plan: &ExpiryPlan, phases: &Phases) {
        let goes: HashSet<&SnapshotId> =
            plan.snapshots.iter().chain(&plan.batches).map(|one| &one.id).collect();
        let seen = stock.items.iter().map(|item| &item.id);
        for id in seen.chain(stock.batches().iter().map(|batch| &batch.id)) {
            match goes.contains(id) {
                true => drop(self.unneeded.entry(id.clone()).or_insert(self.now)),
                false => drop(self.unneeded.remove(id)),
            }
        }
        for id in &phases.snapshots {
            assert!(self.unneeded[id] <= self.now - GRACE.as_secs() as i64, "{id} goes without a grace");
        }
    }

    /// What can be restored of what is promised: moments, and at each the files of each tenant.
    fn restorable(&mut self) -> BTreeSet<(i64, Option<usize>)> {
        let from = self.now - self.rules.instance.as_ref().unwrap().window.as_secs() as i64;
        let mut moments: Vec<i64> =
            self.log.iter().map(|(time, ..)| *time).filter(|time| *time >= from).collect();
        let holds = || self.holds.iter().filter(|hold| hold.removed.is_none());
        let held: Vec<&Held> = holds().map(|hold| &hold.held).collect();
        for held in held {
            if let Held::Span(from, to) = held {
                let (from, to) = (from.as_second(), to.as_second());
                moments.extend(
                    self.log.iter().map(|(time, ..)| *time).filter(|time| *time >= from && *time <= to),
                );
            }
        }
        let newest = self.releases.iter().map(|one| one.stored_at).max();
        for one in &self.releases {
            let longest = one.tenants.iter().map(|tenant| self.rules.tenants[tenant].releases).max().unwrap();
            let is_held = holds().any(|hold| hold.held == Held::Release(one.release.clone()));
            let time = one.stored_at.as_second();
            if is_held || Some(one.stored_at) == newest || time >= self.now - longest.as_secs() as i64 {
                moments.push(time);
            }
        }
        let present: HashSet<&SnapshotId> = self.items.iter().map(|item| &item.id).collect();
        let whole = |item: &&Item| item.needs.iter().all(|id| present.contains(id));
        let stored: HashSet<(u32, u64)> =
            self.wal.items.iter().map(|one| (one.timeline.0, one.begin.0 / SEGMENT)).collect();
        let bases: Vec<&BaseRange> =
            self.items.iter().filter(whole).filter_map(|item| item.base.as_ref()).collect();
        let listed: HashSet<usize> = {
            let whole: HashSet<&SnapshotId> = self.items.iter().filter(whole).map(|item| &item.id).collect();
            self.lists
                .iter()
                .filter(|(id, _)| whole.contains(id))
                .flat_map(|(_, files)| files)
                .copied()
                .collect()
        };
        let batches: HashSet<&SnapshotId> = self.batches.iter().map(|batch| &batch.id).collect();
        let mut found = BTreeSet::new();
        moments.sort_unstable();
        moments.dedup();
        // A sample: the first, the last and some between.
        let step = (moments.len() / 6).max(1);
        for moment in moments.iter().copied().step_by(step).chain(moments.last().copied()) {
            let Some((_, timeline, lsn)) = self.log.iter().rfind(|(time, ..)| *time <= moment) else {
                continue;
            };
            if bases.iter().any(|base| self.reaches(base, *timeline, *lsn, &stored)) {
                found.insert((moment, None));
            }
            for (number, file) in self.files.iter().enumerate() {
                let is_named = file.born <= moment && file.gone.is_none_or(|gone| gone > moment);
                let is_held = listed.contains(&number) || file.batches.iter().any(|id| batches.contains(id));
                if is_named && is_held {
                    found.insert((moment, Some(number)));
                }
            }
        }
        found
    }

    fn reaches(
        &self,
        base: &BaseRange,
        timeline: TimelineId,
        lsn: u64,
        stored: &HashSet<(u32, u64)>,
    ) -> bool {
        let mut path: Vec<(TimelineId, u64)> = Vec::new();
        if timeline != base.timeline {
            let Some(ancestors) = self.wal.histories.get(&timeline) else { return false };
            let own =
                ancestors.iter().position(|one| one.timeline == base.timeline && one.until >= base.stop);
            let Some(own) = own else { return false };
            path.extend(ancestors[own..].iter().map(|one| (one.timeline, one.until.0)));
        } else if lsn < base.stop.0 {
            return false;
        }
        path.push((timeline, lsn));
        let mut at = base.start.0 / SEGMENT;
        for (timeline, until) in path {
            while at * SEGMENT < until {
                if !stored.contains(&(timeline.0, at)) {
                    return false;
                }
                at += 1;
            }
            // The next timeline has the segment in which it begins.
            at = at.min(until / SEGMENT);
        }
        true
    }

    /// The first real snapshot of each period is there as long as it counts.
    fn check_periods(&mut self) {
        let now = at(self.now).to_zoned(self.rules.zone.clone());
        let present: BTreeMap<&SnapshotId, &Item> = self.items.iter().map(|item| (&item.id, item)).collect();
        let rules = &self.rules;
        self.promised.retain(|one| {
            let rule = one.tenant.as_ref().map(|tenant| &rules.tenants[tenant]);
            let count = rule.or(rules.instance.as_ref()).unwrap().periods[&one.period];
            // What did not count once is not promised for later.
            if count == 0 || one.stored_at < begin(one.period, &now, count) {
                return false;
            }
            let item =
                present.get(&one.id).unwrap_or_else(|| panic!("a {} is gone: {one:?}", one.period.word()));
            assert!(item.needs.iter().all(|id| present.contains_key(id)), "{one:?} lacks something");
            true
        });
    }

    fn step(&mut self) {
        let hours = 1 + self.dice.below(20);
        self.pass(hours);
        match self.dice.below(20) {
            0..5 => {
                let tenant = self.dice.below(2) as usize;
                self.dump(tenant);
            }
            5..7 => {
                let tenant = self.dice.below(2) as usize;
                drop(self.filestore(tenant));
            }
            7..11 => self.base(),
            11 => self.switch(),
            12 => self.release(),
            13 => self.hold(),
            14 => {
                let id = self.id(SnapshotKind::Base);
                self.unfinished.push((id, self.now));
            }
            15 if self.dice.one_of(3) => self.choose_rules(),
            16 if self.dice.one_of(4) => self.pass(500), // nobody runs backups
            17..20 => self.expire(),
            _ => {}
        }
    }
}

/// A real snapshot that was the first of a period when it was stored.
#[derive(Debug)]
struct First {
    id: SnapshotId,
    tenant: Option<TenantName>,
    stored_at: Timestamp,
    period: Period,
}

/// When the first of the last `count` periods began, the current one included, by the library's calendar.
fn begin(period: Period, now: &Zoned, count: u32) -> Timestamp {
    let back = i64::from(count) - 1;
    let day = now.start_of_day().unwrap();
    let begun = match period {
        // Not across a change of the clocks: hours of the calendar are counted there.
        Period::Hour => {
            let offset = i64::from(now.offset().seconds());
            let hour = (now.timestamp().as_second() + offset).div_euclid(HOUR) - back;
            return at(hour * HOUR - offset).checked_add(SignedDuration::from_hours(1)).unwrap();
        }
        Period::Day => day.checked_sub(back.days()),
        Period::Week => {
            let monday = day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days()).unwrap();
            monday.checked_sub(back.weeks())
        }
        Period::Month => day.first_of_month().unwrap().checked_sub(back.months()),
        Period::Year => day.first_of_year().unwrap().checked_sub(back.years()),
    };
    begun.unwrap().timestamp()
}

/// The period of the calendar, in words.
fn name(period: Period, now: &Zoned) -> String {
    match period {
        Period::Hour => now.strftime("%Y-%m-%d %H").to_string(),
        Period::Day => now.strftime("%Y-%m-%d").to_string(),
        Period::Week => now.strftime("%G-W%V").to_string(),
        Period::Month => now.strftime("%Y-%m").to_string(),
        Period::Year => now.strftime("%Y").to_string(),
    }
}

fn berlin() -> TimeZone {
    static BERLIN: std::sync::LazyLock<TimeZone> =
        std::sync::LazyLock::new(|| TimeZone::get("Europe/Berlin").unwrap());
    BERLIN.clone()
}

/// An instance may have dumps alone.
#[test]
fn a_held_span_keeps_its_dumps() {
    let mut world = World::new(1);
    world.may_be_blind = false;
    let (begun, mut dumps) = (world.now, Vec::new());
    for _ in 0..8 {
        world.dump(0);
        dumps.extend(
            world.items.iter().rfind(|item| item.kind == SnapshotKind::Dump).map(|one| one.id.clone()),
        );
        world.now += 5 * DAY;
    }
    let held = Held::Span(at(begun + 7 * DAY), at(begun + 13 * DAY));
    let (reason, by) = ("case 7".to_owned(), "counsel".to_owned());
    world.holds.push(Hold { name: "h".to_owned(), held, reason, by, since: at(world.now), removed: None });
    world.now += 8 * 366 * DAY;
    (0..2).for_each(|_| world.dump(0));
    for _ in 0..2 {
        world.expire();
        world.now += 7 * HOUR;
    }
    let stays = |id: &SnapshotId| world.items.iter().any(|item| item.id == *id);
    assert!(stays(&dumps[1]) && stays(&dumps[2]), "the last one before the span, and the one in it");
    assert!(!stays(&dumps[4]) && !stays(&dumps[5]));
}

fn times() -> u64 {
    std::env::var("TEST_TIMES").map_or(TIMES, |text| text.parse().unwrap())
}

#[test]
fn what_is_promised_stays_and_the_rest_goes() {
    let first: u64 = std::env::var("TEST_SEED").map_or(0, |text| text.parse().unwrap());
    let (mut may_go, mut gone) = (0, 0);
    for seed in first..first + times() {
        let told = std::panic::catch_unwind(|| history(seed));
        let (may, did) = told.unwrap_or_else(|_| panic!("TEST_SEED={seed} TEST_TIMES=1 shows it"));
        may_go += may;
        gone += did;
    }
    let share = gone as f64 / may_go as f64;
    assert!(share >= 0.95, "{gone} of {may_go} went: {share}");
}

/// A history; then years later, with a backup of everything, what may go and what went.
fn history(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    let steps = 20 + world.dice.below(25);
    for _ in 0..steps {
        world.step();
    }
    world.holds.clear();
    world.now += 8 * 366 * DAY;
    // Two of each: the window begins with the first.
    for _ in 0..2 {
        world.pass(1);
        (0..2).for_each(|tenant| world.dump(tenant));
        world.base();
        world.now += 10 * DAY;
    }
    world.log.push((world.now, world.timeline, world.lsn));
    world.write_wal();
    // The newest checkpoint stays, with what it takes to go back to it: the next one ends that.
    world.release();
    world.may_be_blind = false;
    let all = world.items.len() + world.batches.len() + world.wal.items.len();
    world.expire();
    world.now += 7 * HOUR;
    world.expire();
    let left = world.items.len() + world.batches.len() + world.wal.items.len();
    // For each tenant two dumps with filestores, two base backups with their chains, roles, the last WAL.
    let must_stay = 40;
    (all.saturating_sub(must_stay), all.saturating_sub(left.max(must_stay)))
}
