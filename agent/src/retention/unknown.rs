//! What is not known adds reasons to all that it could be about.

use std::collections::{HashMap, HashSet};

use super::reason::Reason;
use super::stock::Item;
use super::work::Work;
use crate::archive::manifest::SnapshotKind;
use crate::names::SnapshotId;

/// Snapshots of a kind that are named as reasons.
const NAMED_MAX: usize = 10;

impl<'a> Work<'a> {
    /// What could not be read may need anything of the kinds that its own kind needs. So may what is not
    /// believed: whoever damages a manifest must not make us delete what it needs.
    pub(super) fn unknown(&mut self) {
        let all_of = |kinds: &'static [SnapshotKind]| move |item: &&Item| kinds.contains(&item.kind);
        let there: HashSet<&SnapshotId> = self.stock.items.iter().map(|item| &item.id).collect();
        let mut named: HashMap<&str, usize> = HashMap::new();
        for (id, why) in self.stock.unread.iter().chain(&self.stock.not_believed) {
            let kinds: &'static [SnapshotKind] = match id.kind() {
                "dump" => &[SnapshotKind::Filestore, SnapshotKind::Globals],
                "filestore" => &[SnapshotKind::Filestore],
                "base" => &[SnapshotKind::Base, SnapshotKind::Filestore],
                _ => &[],
            };
            let reason = Reason::Unknown(format!("what {id} needs: {why}"));
            // It may be there, and another one than it was.
            if there.contains(id) {
                self.keep(id, reason.clone());
            }
            // The first ones keep all of it already; whoever writes to the repository can make any number.
            let so_far = named.entry(id.kind()).or_default();
            *so_far += 1;
            if *so_far > NAMED_MAX {
                continue;
            }
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
    pub(super) fn unnamed(&mut self) {
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

    pub(super) fn keep_everything(&mut self, reason: &Reason) {
        for item in &self.stock.items {
            self.keep(&item.id, reason.clone());
        }
        for batch in self.stock.batches() {
            self.keep_batch(&batch.id, reason.clone());
        }
        self.wal.keep_all(reason.clone());
    }
}
