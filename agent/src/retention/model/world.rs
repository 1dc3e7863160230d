//! A made-up site: what it stores, and what happens to it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::periods::{First, HOUR, at, name};
use crate::archive::manifest::SnapshotKind;
use crate::archive::wal_history::Ancestor;
use crate::names::wal::TimelineId;
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};
use crate::retention::garbage::Garbage;
use crate::retention::hold::{Held, Hold};
use crate::retention::phases::Pending;
use crate::retention::rule::{Period, Rule, Rules};
use crate::retention::stock::{
    BaseRange, Batch, Dropped, Item, Known, ReleasePoint, Stock, WalItem, WalStock,
};

pub(super) const SEGMENT: u64 = 16 << 20;
pub(super) const DAY: i64 = 24 * HOUR;
/// WAL is stored so much later than what it says.
const WAL_LATER: i64 = 600;
pub(super) const GRACE: Duration = Duration::from_secs(6 * 3_600);

/// Numbers that look random; the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn one_of(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A file of a tenant's filestore.
pub(super) struct File {
    pub(super) tenant: usize,
    pub(super) born: i64,
    /// When no row named it any more; the collector removes it from the disk then.
    pub(super) gone: Option<i64>,
    pub(super) batches: Vec<SnapshotId>,
}

/// What a filestore snapshot lists: files, each in the packs of some snapshot.
pub(super) type Lists = BTreeMap<SnapshotId, Vec<usize>>;

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) now: i64,
    pub(super) number: u32,
    pub(super) may_be_blind: bool,
    pub(super) tenants: Vec<TenantName>,
    pub(super) rules: Rules,
    pub(super) files: Vec<File>,
    pub(super) lists: Lists,
    /// The packs that hold a file.
    pub(super) home: BTreeMap<usize, SnapshotId>,
    pub(super) items: Vec<Item>,
    pub(super) unfinished: Vec<(SnapshotId, i64)>,
    pub(super) batches: Vec<Batch>,
    pub(super) wal: WalStock,
    pub(super) releases: Vec<ReleasePoint>,
    pub(super) holds: Vec<Hold>,
    pub(super) pending: Vec<Pending>,
    /// Since when every run let it go.
    pub(super) unneeded: HashMap<SnapshotId, i64>,
    pub(super) timeline: TimelineId,
    pub(super) lsn: u64,
    /// Where the server was at each time.
    pub(super) log: Vec<(i64, TimelineId, u64)>,
    /// Real snapshots that are the first of a period, as long as that is promised.
    pub(super) promised: Vec<First>,
    pub(super) firsts: HashSet<(String, Period, String)>,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
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

    pub(super) fn choose_rules(&mut self) {
        let rule = |dice: &mut Dice| {
            let counts = Period::ALL.map(|period| (period, dice.below(6) as u32));
            Rule {
                window: Duration::from_secs(dice.below(8) * DAY as u64),
                periods: counts.into_iter().collect(),
                releases: Duration::from_secs(dice.below(20) * DAY as u64),
                dropped: None,
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

    pub(super) fn id(&mut self, kind: SnapshotKind) -> SnapshotId {
        self.number += 1;
        format!("20261120T000000Z-{kind}-{:08x}", self.number).parse().unwrap()
    }

    pub(super) fn put(
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
    pub(super) fn promise(&mut self, id: &SnapshotId, kind: SnapshotKind, tenant: Option<&TenantName>) {
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
    pub(super) fn pass(&mut self, hours: u64) {
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

    pub(super) fn batch_of(&mut self, file: usize) -> SnapshotId {
        let id = self.id(SnapshotKind::Arrivals);
        self.files[file].batches.push(id.clone());
        self.batches.push(Batch { id: id.clone(), stored_at: at(self.now), bytes: 1 });
        id
    }

    pub(super) fn write_wal(&mut self) {
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

    pub(super) fn filestore(&mut self, tenant: usize) -> SnapshotId {
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

    pub(super) fn dump(&mut self, tenant: usize) {
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

    pub(super) fn base(&mut self) {
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
    pub(super) fn switch(&mut self) {
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

    pub(super) fn release(&mut self) {
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
        self.releases.push(ReleasePoint { release, stored_at, tenants, names, point, drill: None });
    }

    pub(super) fn hold(&mut self) {
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
    pub(super) fn stock(&mut self) -> Stock {
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
            suspicions: Known::All(Vec::new()),
            tenants: Known::All(self.tenants.iter().cloned().collect()),
            dropped: Dropped { looks: Known::All(Vec::new()), named: BTreeSet::new() },
            garbage: Garbage::default(),
        }
    }
}

fn berlin() -> TimeZone {
    static BERLIN: std::sync::LazyLock<TimeZone> =
        std::sync::LazyLock::new(|| TimeZone::get("Europe/Berlin").unwrap());
    BERLIN.clone()
}
