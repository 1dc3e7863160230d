//! A made-up site: what is stored of it, what its people want, and how its time passes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::dice::Dice;
use super::periods::{First, HOUR, at, number};
use super::present::{Ids, SEGMENT};
use crate::archive::manifest::SnapshotKind;
use crate::names::wal::TimelineId;
use crate::names::{SnapshotId, TenantName};
use crate::retention::hold::Hold;
use crate::retention::phases::Pending;
use crate::retention::rule::{Period, Rule, Rules};
use crate::retention::stock::{Batch, GoodBefore, Item, ReleasePoint, WalStock};

pub(super) const DAY: i64 = 24 * HOUR;
pub(super) const GRACE: Duration = Duration::from_secs(6 * 3_600);

/// A file of a tenant's filestore.
pub(super) struct File {
    pub(super) tenant: usize,
    pub(super) born: i64,
    /// When no row named it any more; the collector removes it from the disk then.
    pub(super) gone: Option<i64>,
    pub(super) batches: Vec<SnapshotId>,
}

/// Files of each filestore snapshot.
pub(super) type Lists = BTreeMap<SnapshotId, Vec<usize>>;

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) now: i64,
    pub(super) number: u32,
    /// Whether backups fail, clocks are wrong, objects cannot be read, and runs are killed.
    pub(super) may_fail: bool,
    pub(super) tenants: Vec<TenantName>,
    pub(super) rules: Rules,
    pub(super) files: Vec<File>,
    /// What a filestore snapshot lists: files, each in the packs of some snapshot.
    pub(super) lists: Lists,
    /// What a filestore snapshot misses without naming it: batches alone have it.
    pub(super) misses: Lists,
    /// The packs that hold a file.
    pub(super) home: BTreeMap<usize, SnapshotId>,
    pub(super) items: Vec<Item>,
    pub(super) unfinished: Vec<(SnapshotId, i64)>,
    pub(super) batches: Vec<Batch>,
    pub(super) wal: WalStock,
    pub(super) releases: Vec<ReleasePoint>,
    pub(super) holds: Vec<Hold>,
    pub(super) suspicions: Vec<GoodBefore>,
    pub(super) pending: Vec<Pending>,
    /// Since when every run let it go.
    pub(super) unneeded: HashMap<usize, i64>,
    /// What decides which objects cannot be read.
    pub(super) sight: u64,
    /// Whether the next listing may leave something out.
    pub(super) may_be_short: bool,
    pub(super) timeline: TimelineId,
    pub(super) lsn: u64,
    /// Where the server was at each time.
    pub(super) log: Vec<(i64, TimelineId, u64)>,
    /// Real snapshots that are the first of a period, as long as that is promised.
    pub(super) promised: Vec<First>,
    pub(super) firsts: HashSet<(SnapshotKind, Option<usize>, Period, [i16; 4])>,
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
            may_fail: true,
            tenants,
            rules,
            files: Vec::new(),
            lists: Lists::new(),
            misses: Lists::new(),
            home: BTreeMap::new(),
            items: Vec::new(),
            unfinished: Vec::new(),
            batches: Vec::new(),
            wal: WalStock::default(),
            releases: Vec::new(),
            holds: Vec::new(),
            suspicions: Vec::new(),
            pending: Vec::new(),
            unneeded: HashMap::new(),
            sight: seed,
            may_be_short: false,
            timeline: TimelineId(1),
            lsn: 3 * SEGMENT,
            log: Vec::new(),
            promised: Vec::new(),
            firsts: HashSet::new(),
        };
        world.choose_rules();
        world
    }

    /// New classes. Now and then a tenant has none, or there is no class at all.
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
        self.may_be_short = false;
        self.rules.tenants.clear();
        self.rules.instance = None;
        if self.may_fail && self.dice.one_of(40) {
            return;
        }
        for tenant in &self.tenants {
            let rule = rule(&mut self.dice);
            let instance = self.rules.instance.take();
            self.rules.instance = Some(instance.map_or(rule.clone(), |other| other.or(&rule)));
            if !self.may_fail || !self.dice.one_of(12) {
                self.rules.tenants.insert(tenant.clone(), rule);
            }
        }
    }

    /// The rule of a tenant's snapshots, or of those that serve all.
    pub(super) fn rule(&self, tenant: Option<&TenantName>) -> Option<&Rule> {
        match tenant {
            Some(tenant) => self.rules.tenants.get(tenant),
            None => self.rules.instance.as_ref(),
        }
    }

    pub(super) fn id(&mut self, kind: SnapshotKind) -> SnapshotId {
        self.number += 1;
        format!("20261120T000000Z-{kind}-{:08x}", self.number).parse().unwrap()
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

    /// When something was last stored.
    pub(super) fn newest(&self) -> Option<i64> {
        let items = self.items.iter().map(|item| item.stored_at);
        items.chain(self.wal.items.iter().map(|item| item.stored_at)).max().map(|at| at.as_second())
    }

    /// What is there under its manifest.
    pub(super) fn present(&self) -> Ids {
        let batches = self.batches.iter().map(|batch| &batch.id);
        self.items.iter().map(|item| &item.id).chain(batches).collect()
    }

    pub(super) fn put(
        &mut self,
        kind: SnapshotKind,
        tenant: Option<usize>,
        needs: BTreeSet<SnapshotId>,
    ) -> bool {
        let id = self.id(kind);
        self.put_as(kind, tenant, needs, id)
    }

    /// Publishes a snapshot; false where the backup fails before that, or finds that what it needs is going
    /// to be deleted.
    pub(super) fn put_as(
        &mut self,
        kind: SnapshotKind,
        tenant: Option<usize>,
        mut needs: BTreeSet<SnapshotId>,
        id: SnapshotId,
    ) -> bool {
        let goes = |need: &SnapshotId| {
            let named =
                |one: &Pending| one.named.snapshots.contains(need) || one.named.batches.contains(need);
            let is_recent = |one: &Pending| one.stored_at.as_second() > self.now - 60 * DAY;
            self.pending.iter().any(|one| is_recent(one) && named(one))
        };
        let present = self.present();
        let is_refused = needs.iter().any(|need| *need != id && (goes(need) || !present.contains(need)));
        if is_refused || self.may_fail && self.dice.one_of(30) {
            self.unfinished.push((id, self.now));
            return false;
        }
        // A clock that is wrong, or somebody who says so.
        let claims = (self.may_fail && self.dice.one_of(25)).then(|| {
            let wrong = (self.dice.below(800) as i64 - 400) * DAY;
            at(self.now + wrong.min(0))
        });
        let claims = claims.filter(|claims| *claims < at(self.now - HOUR));
        if claims.is_none() {
            self.promise(&id, kind, tenant);
        }
        needs.insert(id.clone());
        self.items.push(Item {
            id,
            kind,
            tenant: tenant.map(|tenant| self.tenants[tenant].clone()),
            release: None,
            stored_at: at(self.now),
            claims,
            bytes: 1,
            whole: true,
            may_be_whole: true,
            needs,
            base: None,
            misses_unnamed: false,
            cold: None,
        });
        true
    }

    /// It is the first of the periods in which there is no other yet.
    fn promise(&mut self, id: &SnapshotId, kind: SnapshotKind, tenant: Option<usize>) {
        let now = at(self.now).to_zoned(self.rules.zone.clone());
        for period in Period::ALL {
            if self.firsts.insert((kind, tenant, period, number(period, &now))) {
                self.promised.push(First { id: id.clone(), tenant, stored_at: at(self.now), period });
            }
        }
    }
}

fn berlin() -> TimeZone {
    static BERLIN: std::sync::LazyLock<TimeZone> =
        std::sync::LazyLock::new(|| TimeZone::get("Europe/Berlin").unwrap());
    BERLIN.clone()
}
