//! WAL against its names: each carries the digest of what is stored, so anyone can check it. With an
//! identity it is opened, too: content and signature.

use std::collections::HashMap;

use crate::archive::wal::{HalfDigest, STORED_BYTES_MAX, WalName};
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, random_hex};
use crate::repository::layout;
use crate::upkeep::findings::{Finding, Findings};
use crate::upkeep::verify::Work;

/// One object to be read.
pub struct WalTask {
    key: String,
    name: WalName,
    /// Its size as listed.
    pub bytes: u64,
}

/// Every object of the instance's `wal/`, as `listed`; what is none of ours goes to `findings`.
pub fn tasks(instance: &InstanceName, listed: &HashMap<String, u64>, findings: &Findings) -> Vec<WalTask> {
    let folder = format!("{}/", layout::wal(instance));
    let lease = layout::wal_lease(instance);
    let mut tasks = Vec::new();
    for (key, &bytes) in listed.iter().filter(|(key, _)| key.starts_with(&folder) && **key != lease) {
        // The name is that of the last two parts of the key.
        let cut = key.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
        match key[cut..].parse::<WalName>() {
            Ok(name) if layout::wal_object(instance, &name) == *key => {
                tasks.push(WalTask { key: key.clone(), name, bytes });
            }
            _ => findings.add(Finding::harmless(key, "foreign: it is no WAL object")),
        }
    }
    tasks.sort_by_key(|task| task.name);
    tasks
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
