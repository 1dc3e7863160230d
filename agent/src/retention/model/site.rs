//! What the jobs of a made-up site store: backups of all kinds, WAL, checkpoints.

use std::collections::BTreeSet;

use super::periods::at;
use super::present::SEGMENT;
use super::world::{DAY, World};
use crate::archive::manifest::SnapshotKind;
use crate::archive::wal_history::Ancestor;
use crate::names::wal::TimelineId;
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};
use crate::retention::stock::{BaseRange, Batch, GoodBefore, Item, ReleasePoint, WalItem};

/// WAL is stored so much later than what it says.
const WAL_LATER: i64 = 600;

impl World {
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
            let (begin, end) = (number * SEGMENT, ((number + 1) * SEGMENT).min(self.lsn));
            if end > begin {
                let (begin, end) = (Lsn(begin), Lsn(end));
                let stored_at = at(self.now + WAL_LATER);
                self.wal.items.push(WalItem { timeline: self.timeline, begin, end, stored_at, bytes: 1 });
            }
        }
    }

    /// The files of a tenant, new ones in packs of its own. Now and then it misses some that batches have.
    pub(super) fn filestore(&mut self, tenant: usize) -> Option<SnapshotId> {
        let id = self.id(SnapshotKind::Filestore);
        let on_disk = (0..self.files.len())
            .filter(|file| self.files[*file].tenant == tenant && self.files[*file].gone.is_none());
        let (misses, is_full) = (self.may_fail && self.dice.one_of(30), self.dice.one_of(6));
        let is_missed = |file: &usize| misses && !self.files[*file].batches.is_empty();
        let (missed, listed): (Vec<usize>, Vec<usize>) = on_disk.partition(is_missed);
        let present = self.present();
        let home_of = |file: &usize| {
            let home = self.home.get(file).filter(|home| !is_full && present.contains(home));
            (*file, home.cloned().unwrap_or_else(|| id.clone()))
        };
        let homes: Vec<(usize, SnapshotId)> = listed.iter().map(home_of).collect();
        let needs: BTreeSet<SnapshotId> = homes.iter().map(|(_, home)| home.clone()).collect();
        if !self.put_as(SnapshotKind::Filestore, Some(tenant), needs, id.clone()) {
            return None;
        }
        self.home.extend(homes);
        self.home.retain(|file, _| !missed.contains(file));
        self.items.last_mut().unwrap().misses_unnamed = !missed.is_empty();
        self.lists.insert(id.clone(), listed);
        self.misses.insert(id.clone(), missed);
        Some(id)
    }

    /// A filestore, the dump that names it, now and then roles and configuration. A file that was on no disk
    /// any more may be in a batch, which the dump names.
    pub(super) fn dump(&mut self, tenant: usize) -> bool {
        let Some(filestore) = self.filestore(tenant) else { return false };
        let mut needs = self.items.last().unwrap().needs.clone();
        needs.insert(filestore);
        let late = self.files.iter().rfind(|file| file.tenant == tenant && !file.batches.is_empty());
        let late = late.and_then(|file| file.batches.last()).cloned();
        let late = late.filter(|id| self.batches.iter().any(|batch| batch.id == *id));
        needs.extend(late.filter(|_| self.dice.one_of(5)));
        let is_stored = self.put(SnapshotKind::Dump, Some(tenant), needs);
        if self.dice.one_of(2) {
            self.put(SnapshotKind::Globals, None, BTreeSet::new());
        }
        if self.dice.one_of(4) {
            self.put(SnapshotKind::Config, None, BTreeSet::new());
        }
        is_stored
    }

    pub(super) fn base(&mut self) {
        let parent = self.items.iter().rfind(|item| item.base.is_some() && item.claims.is_none());
        let chain = parent.filter(|parent| parent.needs.len() < 4).map(|parent| parent.needs.clone());
        let chain = chain.filter(|_| !self.dice.one_of(3)).unwrap_or_default();
        let start = self.lsn;
        self.write_wal();
        self.log.push((self.now, self.timeline, self.lsn));
        if self.put(SnapshotKind::Base, None, chain) {
            let stop = Lsn(self.lsn);
            let base = BaseRange { timeline: self.timeline, start: Lsn(start), stop, segment: SEGMENT };
            self.items.last_mut().unwrap().base = Some(base);
        }
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

    /// The checkpoint of a release; now and then with a dump for it, or one that is only tied to it.
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
        if self.dice.one_of(3) && self.dump(0) {
            let dump = self.items.iter_mut().rfind(|item| item.kind == SnapshotKind::Dump).unwrap();
            dump.release = Some(release.clone());
            if self.dice.one_of(2) {
                names.insert(dump.id.clone());
            }
        }
        self.may_be_short = false;
        let (stored_at, point) = (at(self.now), Some((self.timeline, Lsn(self.lsn))));
        let tenants = self.tenants.clone();
        self.releases.push(ReleasePoint { release, stored_at, tenants, names, point, drill: None });
    }

    /// A backup that looks as if something was lost: its record names the last dump and filestore before it.
    pub(super) fn suspicious(&mut self) {
        let tenant = self.dice.below(2) as usize;
        let good = [SnapshotKind::Dump, SnapshotKind::Filestore].map(|kind| {
            let of = |item: &&_| is_of(item, kind, &self.tenants[tenant]);
            self.items.iter().rfind(of).map(|item| item.id.clone())
        });
        if !self.dump(tenant) {
            return;
        }
        let of = self.items.iter().rfind(|item| is_of(item, SnapshotKind::Dump, &self.tenants[tenant]));
        let suspicious = of.unwrap().id.clone();
        let until = at(self.now + self.dice.below(30) as i64 * DAY);
        self.may_be_short = false;
        self.suspicions.push(GoodBefore { suspicious, good: good.into_iter().flatten().collect(), until });
    }
}

fn is_of(item: &Item, kind: SnapshotKind, tenant: &TenantName) -> bool {
    item.kind == kind && item.tenant.as_ref() == Some(tenant)
}
