//! WAL against its names: each is signed and carries the digest of what is stored, so anyone can check it.
//! With an identity it is opened, too: content and signature.

use crate::archive::lineage;
use crate::archive::manifest::Origin;
use crate::archive::wal::{HalfDigest, STORED_BYTES_MAX, WalName};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::inventory::Snapshot;
use crate::inventory::gaps::{Missing, missing};
use crate::inventory::take::stored_wal;
use crate::names::wal::{SegmentBytes, TimelineId};
use crate::names::{InstanceName, random_hex};
use crate::repository::snapshots::Trust;
use crate::repository::wal::{Foreign, WalList};
use crate::repository::{Repository, layout};
use crate::upkeep::findings::Findings;
use crate::upkeep::work::Work;

/// One object to be read.
pub struct WalTask {
    key: String,
    what: What,
    /// Its size as listed.
    pub bytes: u64,
    /// When it was stored, of an object of WAL.
    stored_at: Option<Timestamp>,
}

/// What it is by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Wal(WalName),
    /// The ancestors of a timeline, in clear text.
    Lineage(TimelineId),
}

/// Every object of the instance's WAL that counts, and every one that names the ancestors of a timeline;
/// foreign ones go to `findings`.
pub fn tasks(instance: &InstanceName, list: &WalList, findings: &Findings) -> Vec<WalTask> {
    let WalList { objects, lineages, foreign } = list;
    let is_claim = |why: &str| Foreign::CLAIMS.contains(&why);
    for (key, why) in &foreign.first {
        findings.add_foreign(key, why.as_ref(), is_claim(why));
    }
    findings.add_foreign_unnamed(foreign.more, foreign.first.iter().any(|(_, why)| is_claim(why)));
    let objects = objects.iter().map(|object| WalTask {
        key: layout::wal_object(instance, &object.name),
        what: What::Wal(object.name),
        bytes: object.bytes,
        stored_at: Some(object.stored_at),
    });
    let lineages = lineages.iter().map(|lineage| WalTask {
        key: lineage.key.clone(),
        what: What::Lineage(lineage.timeline),
        bytes: lineage.bytes,
        stored_at: None,
    });
    objects.chain(lineages).collect()
}

/// The gaps in the stored WAL. If they cannot be known, that goes to `findings`.
pub async fn look_for_gaps(
    repository: &Repository,
    (origin, trust): (&Origin, &Trust),
    list: WalList,
    snapshots: &[Snapshot],
    findings: &Findings,
) -> Missing {
    let mut bases = snapshots.iter().filter_map(|one| one.manifest.base());
    let size = bases.next().and_then(|base| SegmentBytes::try_from(base.wal_segment_bytes).ok());
    match repository.lineages(&list.lineages, origin, trust).await {
        Ok(lineages) => missing(&stored_wal(list, lineages, size), snapshots.iter()),
        Err(e) => {
            findings.sort(&layout::wal(repository.instance()), e, Vec::new());
            Missing::default()
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
        if let (Err(e), Some(at)) = (&outcome, task.stored_at)
            && e.kind() == Kind::NotFound
        {
            self.findings.was_stored(&task.key, at);
        }
        let error = outcome.err().map(|e| match e.kind() {
            Kind::Integrity | Kind::NotFound | Kind::Signature => {
                e.context("recovery from an earlier base backup ends there")
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
                format!("its SHA-256 begins with {digest}, but its name says {}", name.stored),
            ));
        }
        if let Some(reader) = &self.wal_reader {
            self.note_partial(name, &reader.open(&name, &stored)?);
        }
        Ok(())
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
                let why = format!("it tells nothing of timeline {timeline}: {}", e.what());
                self.findings.add_foreign(&task.key, why, true);
                None
            }
            looked => looked.err(),
        };
        self.settle_object(&task.key, task.bytes, error, Vec::new());
    }
}
