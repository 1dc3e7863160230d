//! WAL against its names: each is signed and carries the digest of what is stored, so anyone can check it. With
//! an identity it is opened, too: content and signature.

use crate::archive::wal::{HalfDigest, STORED_BYTES_MAX, WalName};
use crate::archive::wal_name::NameTrust;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::repository::wal::{WalList, WalObject};
use crate::repository::{Repository, layout};
use crate::upkeep::findings::{Finding, Findings};
use crate::upkeep::verify::Work;

/// One object to be read.
pub struct WalTask {
    key: String,
    name: WalName,
    /// Its size as listed.
    pub bytes: u64,
}

/// Every object of the instance's WAL that counts; what does not goes to `findings`.
///
/// # Errors
/// Those of the store.
pub async fn tasks(repository: &Repository, trust: &NameTrust, findings: &Findings) -> Result<Vec<WalTask>> {
    let WalList { objects, foreign } = repository.wal(trust, true).await?;
    for (key, why) in foreign.first {
        findings.add(Finding::harmless(&key, format!("foreign: {why}")));
    }
    if foreign.more > 0 {
        let folder = layout::wal(repository.instance());
        findings.add(Finding::harmless(&folder, format!("foreign: {} more such objects", foreign.more)));
    }
    let task = |object: WalObject| WalTask {
        key: layout::wal_object(repository.instance(), &object.name),
        name: object.name,
        bytes: object.bytes,
    };
    Ok(objects.into_iter().map(task).collect())
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
        let outcome = self.look_at_wal(task);
        let error = outcome.err().map(|e| match e.kind() {
            Kind::Integrity | Kind::NotFound | Kind::Signature => {
                e.context("recovery from base backups before it ends there")
            }
            _ => e,
        });
        self.settle_object(&task.key, task.bytes, error, Vec::new());
    }

    fn look_at_wal(&self, task: &WalTask) -> Result<()> {
        let stored = self.runtime.block_on(self.repository.store().get(&task.key, STORED_BYTES_MAX))?;
        self.meter.passed(stored.len() as u64);
        let digest = HalfDigest::of(&stored);
        if digest != task.name.stored {
            return Err(Error::new(
                Kind::Integrity,
                format!("SHA-256 begins with {digest}, its name says {}", task.name.stored),
            ));
        }
        match &self.wal_opener {
            Some(opener) => opener.open(&task.name, &stored).map(drop),
            None => Ok(()),
        }
    }
}
