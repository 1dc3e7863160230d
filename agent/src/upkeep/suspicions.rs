//! Records of suspicious backups: each is signed by a key that is trusted, of this repository and instance,
//! under the name of its snapshot.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::Origin;
use crate::clock::{Timestamp, later};
use crate::error::Kind;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::Findings;

/// The result of a check of all records, besides its findings.
#[derive(Debug, Default)]
pub struct Suspicions {
    /// Objects that were read and compared.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Until when each holds the backup before, by its key.
    pub until: HashMap<String, Timestamp>,
}

/// Checks every record below the instance's `suspicions/`, as `listed`. What is wrong or could not be looked
/// at goes to `findings`.
pub async fn check(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    listed: &HashMap<String, u64>,
    findings: &Findings,
    cancel: &CancellationToken,
) -> Suspicions {
    let mut seen = Suspicions::default();
    let folder = format!("{}/", layout::suspicions(repository.instance()));
    let mut keys: Vec<&String> = listed.keys().filter(|key| key.starts_with(&folder)).collect();
    keys.sort();
    let trusted = trust.trusted();
    for key in keys {
        if key.ends_with(layout::SUSPICION_SIGNATURE) {
            continue; // with its record; alone it was cut short, and is no record
        }
        let Some(id) = layout::suspicion_of(repository.instance(), key) else {
            findings.add_foreign(key, "it is not the record of a snapshot", false);
            continue;
        };
        let Some(trusted) = trusted.as_ref().filter(|_| !cancel.is_cancelled()) else {
            findings.skip(key, "it was not checked".to_owned());
            continue;
        };
        match repository.read_suspicion(&id, origin, trusted).await {
            Ok(Some((record, signed))) => {
                seen.until.insert(key.clone(), later(signed.record.stored_at, record.keep()));
                seen.objects += 2;
                seen.bytes += signed.record.len() as u64 + signed.signature_bytes;
            }
            Ok(None) => findings.add_foreign(key, "nobody signed it", true),
            Err(e) if e.kind() == Kind::NotFound => {} // removed since it was listed
            Err(e) => findings.sort(key, e, Vec::new()),
        }
    }
    seen
}
