//! WAL against its names: each carries the digest of what is stored, so anyone can check it. With an
//! identity it is opened, too: content and signature.

use std::collections::HashMap;

use crate::archive::lineage;
use crate::archive::manifest::Origin;
use crate::archive::wal::{HalfDigest, STORED_BYTES_MAX, WalName};
use crate::error::{Error, Kind, Result};
use crate::inventory::gaps::{Gap, gaps};
use crate::inventory::take::take_wal;
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::names::{InstanceName, random_hex};
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Finding, Findings};
use crate::upkeep::scope::Scope;
use crate::upkeep::verify::Work;

/// One object to be read.
pub struct WalTask {
    key: String,
    what: What,
    /// Its size as listed.
    pub bytes: u64,
}

/// What it is by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Wal(WalName),
    /// The ancestors of a timeline, in clear text.
    Lineage(TimelineId),
}

/// Every object of the instance's `wal/`, as `listed`; what is none of ours goes to `findings`.
pub fn tasks(instance: &InstanceName, listed: &HashMap<String, u64>, findings: &Findings) -> Vec<WalTask> {
    let folder = format!("{}/", layout::wal(instance));
    let lease = layout::wal_lease(instance);
    let mut tasks = Vec::new();
    for (key, &bytes) in listed.iter().filter(|(key, _)| key.starts_with(&folder) && **key != lease) {
        // The name is that of the last two parts of the key.
        let cut = key.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
        let name = key[cut..].parse::<WalName>().ok();
        let name = name.filter(|name| layout::wal_object(instance, name) == *key).map(What::Wal);
        match name.or_else(|| layout::lineage_of(instance, key).map(What::Lineage)) {
            Some(what) => tasks.push(WalTask { key: key.clone(), what, bytes }),
            None => findings.add(Finding::harmless(key, "foreign: it is no WAL object")),
        }
    }
    tasks.sort_by_key(|task| task.what);
    tasks
}

/// What is missing between what is stored, in words. That it cannot be told goes to `findings`.
pub async fn missing(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    scope: &Scope,
    findings: &Findings,
) -> Vec<String> {
    let mut bases = scope.manifests.values().filter_map(|manifest| manifest.base.as_ref());
    let size = bases.next().and_then(|base| SegmentBytes::try_from(base.wal_segment_bytes).ok());
    match take_wal(repository, origin, trust, size).await {
        Ok(wal) => gaps(&wal).iter().map(Gap::text).collect(),
        Err(e) => {
            findings.sort(&layout::wal(repository.instance()), e, Vec::new());
            Vec::new()
        }
    }
}

/// So many percent of them, at random.
pub fn sample(mut tasks: Vec<WalTask>, percent: f64) -> Vec<WalTask> {
    let wanted = (tasks.len() as f64 * percent / 100.0).ceil() as usize;
    tasks.sort_by_cached_key(|_| random_hex(8));
    tasks.truncate(wanted);
    tasks
}

impl Work {
    /// Fetches one object and compares it with its name. Blocking.
    pub fn check_wal(&self, task: &WalTask) {
        let outcome = match task.what {
            What::Wal(name) => self.look_at_wal(&task.key, name),
            What::Lineage(timeline) => return self.check_lineage(task, timeline),
        };
        let error = outcome.err().map(|e| match e.kind() {
            Kind::Integrity | Kind::NotFound | Kind::Signature => {
                e.context("recovery from base backups before it ends there")
            }
            _ => e,
        });
        self.settle_object(&task.key, task.bytes, error, Vec::new());
    }

    fn look_at_wal(&self, key: &str, name: WalName) -> Result<()> {
        let stored = self.runtime.block_on(self.repository.store().get(key, STORED_BYTES_MAX))?;
        self.meter.passed(stored.len() as u64);
        let digest = HalfDigest::of(&stored);
        if digest != name.stored {
            return Err(Error::new(
                Kind::Integrity,
                format!("SHA-256 begins with {digest}, its name says {}", name.stored),
            ));
        }
        match &self.wal_opener {
            Some(opener) => opener.open(&name, &stored).map(drop),
            None => Ok(()),
        }
    }

    /// Nothing is restored from it; a history that it stands beside can be read with an identity.
    fn check_lineage(&self, task: &WalTask, timeline: TimelineId) {
        let look = || {
            let stored = self.runtime.block_on(self.repository.store().get(&task.key, lineage::BYTES_MAX))?;
            self.meter.passed(stored.len() as u64);
            lineage::read(self.trusted.as_ref(), &self.origin, timeline, &stored)
        };
        let error = match look() {
            Err(e) if matches!(e.kind(), Kind::Integrity | Kind::Signature) => {
                let what = format!("foreign: it tells nothing of timeline {timeline}: {}", e.what());
                self.findings.add(Finding::harmless(&task.key, what));
                None
            }
            looked => looked.err(),
        };
        self.settle_object(&task.key, task.bytes, error, Vec::new());
    }
}
