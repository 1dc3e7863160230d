//! Which snapshots of a made-up site are promised, by the words of docs/retention.md: read in another way
//! than the plan reads them, and from what is really there.

use std::collections::{BTreeMap, BTreeSet};

use super::present::Ids;
use super::world::{GRACE, World};
use crate::archive::manifest::SnapshotKind;
use crate::names::SnapshotId;
use crate::retention::hold::{Held, Hold};
use crate::retention::stock::{Item, ReleasePoint};

impl World {
    /// Whether all that it needs is there.
    pub(super) fn is_whole(item: &Item, present: &Ids) -> bool {
        item.needs.iter().all(|id| present.contains(id))
    }

    /// What is there with all that it needs; batches need nothing.
    pub(super) fn whole(&self, present: &Ids) -> Ids {
        let items = self.items.iter().filter(|item| World::is_whole(item, present)).map(|item| &item.id);
        items.chain(self.batches.iter().map(|batch| &batch.id)).collect()
    }

    /// The holds in force: until one grace after their removal.
    pub(super) fn held(&self) -> impl Iterator<Item = &Hold> {
        let since = self.now - GRACE.as_secs() as i64;
        self.holds.iter().filter(move |hold| hold.removed.is_none_or(|at| at.as_second() > since))
    }

    /// The checkpoints that can be gone back to: held ones, the newest, and the young ones.
    pub(super) fn releases_in_force(&self, now: i64) -> impl Iterator<Item = &ReleasePoint> {
        let newest = self.releases.iter().map(|one| one.stored_at).max();
        self.releases.iter().filter(move |one| {
            let is_held = self.held().any(|hold| hold.held == Held::Release(one.release.clone()));
            let is_young = |tenant| match self.rules.tenants.get(tenant) {
                Some(rule) => one.stored_at.as_second() >= now - rule.releases.as_secs() as i64,
                None => true,
            };
            is_held || Some(one.stored_at) == newest || one.tenants.iter().any(is_young)
        })
    }

    /// Base backups that are promised for themselves and whole: each can be restored to its own moment. One
    /// whose chain is gone cannot, and a hold on it promises no other.
    pub(super) fn promised_bases(&self, now: i64) -> impl Iterator<Item = &Item> {
        let present = self.present();
        let mut found = BTreeSet::new();
        self.add_of_rules(now, &present, &mut found);
        self.add_held(&present, &mut found);
        self.items.iter().filter(move |item| {
            item.base.is_some() && found.contains(&item.id) && World::is_whole(item, &present)
        })
    }

    /// The snapshots and batches that are promised, not for the sake of moments.
    pub(super) fn promised_states(&self, now: i64) -> BTreeSet<&SnapshotId> {
        let present = self.present();
        let mut found = BTreeSet::new();
        self.add_of_rules(now, &present, &mut found);
        self.add_held(&present, &mut found);
        for one in self.releases_in_force(now) {
            found.extend(&one.names);
            let tied = self.items.iter().filter(|item| item.release.as_ref() == Some(&one.release));
            found.extend(tied.map(|item| &item.id));
        }
        let good = self.suspicions.iter().filter(|one| one.until.as_second() > now);
        found.extend(good.flat_map(|one| &one.good));
        self.add_roles(&mut found);
        let whole = self.whole(&present);
        found.retain(|id| whole.contains(id));
        found
    }

    /// The newest, those of the window, and the one that it begins with; all that has no class.
    fn add_of_rules<'a>(&'a self, now: i64, present: &Ids, found: &mut BTreeSet<&'a SnapshotId>) {
        // What the newest, and the newest before the window, are: of each kind and tenant.
        let (mut newest, mut starts) = (BTreeMap::new(), BTreeMap::new());
        for item in &self.items {
            let Some(rule) = self.rule(item.tenant.as_ref()) else {
                found.insert(&item.id);
                continue;
            };
            let (is_real, age) = (item.claims.is_none(), now - item.stored_at.as_second());
            let window = rule.window.as_secs() as i64;
            if age <= window {
                found.insert(&item.id);
            }
            if is_real && World::is_whole(item, present) {
                let of = (item.kind.as_str(), &item.tenant);
                newest.insert(of, &item.id);
                if age >= window {
                    starts.insert(of, &item.id);
                }
            }
        }
        found.extend(newest.into_values());
        found.extend(starts.into_values());
        if self.rules.instance.is_none() {
            found.extend(self.batches.iter().map(|batch| &batch.id));
        }
    }

    fn add_held<'a>(&'a self, present: &Ids, found: &mut BTreeSet<&'a SnapshotId>) {
        for hold in self.held() {
            match &hold.held {
                Held::Snapshot(id) => drop(found.insert(id)),
                Held::Tenant(tenant) => {
                    let of = self.items.iter().filter(|item| item.tenant.as_ref() == Some(tenant));
                    found.extend(of.map(|item| &item.id));
                }
                Held::Span(from, to) => {
                    for tenant in &self.tenants {
                        let of = |item: &&Item| {
                            item.kind == SnapshotKind::Dump && item.tenant.as_ref() == Some(tenant)
                        };
                        let dumps = || self.items.iter().filter(of);
                        let within = dumps().filter(|item| item.stored_at > *from && item.stored_at <= *to);
                        found.extend(within.map(|item| &item.id));
                        let is_good = |item: &&Item| item.claims.is_none() && World::is_whole(item, present);
                        let before = dumps().filter(is_good).rfind(|item| item.stored_at <= *from);
                        found.extend(before.map(|item| &item.id));
                    }
                }
                Held::Release(release) => {
                    let tied = self.items.iter().filter(|item| item.release.as_ref() == Some(release));
                    found.extend(tied.map(|item| &item.id));
                }
            }
        }
    }

    /// The roles around each dump.
    fn add_roles<'a>(&'a self, found: &mut BTreeSet<&'a SnapshotId>) {
        let roles = || self.items.iter().filter(|item| item.kind == SnapshotKind::Globals);
        let dumps = self.items.iter().filter(|item| item.kind == SnapshotKind::Dump);
        let dumps: Vec<&Item> = dumps.filter(|item| found.contains(&item.id)).collect();
        for dump in dumps {
            found.extend(roles().rfind(|one| one.stored_at <= dump.stored_at).map(|one| &one.id));
            found.extend(roles().find(|one| one.stored_at > dump.stored_at).map(|one| &one.id));
        }
    }
}
