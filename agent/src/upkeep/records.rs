//! Records of one signed object each: of suspicious backups, and of looks at the server that found databases
//! gone. Each is signed by a key that is trusted, of this repository and instance, under its own name.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use crate::archive::manifest::Origin;
use crate::archive::signature::TrustedKeys;
use crate::clock::{Timestamp, later};
use crate::error::{Kind, Result};
use crate::names::SnapshotId;
use crate::repository::record::Signed;
use crate::repository::snapshots::Trust;
use crate::repository::{Repository, layout};
use crate::upkeep::findings::Findings;

/// The result of a check of all records, besides its findings.
#[derive(Debug, Default)]
pub struct Records {
    /// Objects that were read and compared.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Until when each record of a suspicious backup holds the one before, by its key.
    pub until: HashMap<String, Timestamp>,
}

/// Checks every record, as `listed`. What is wrong or could not be looked at goes to `findings`.
pub async fn check(
    repository: &Repository,
    origin: &Origin,
    trust: &Trust,
    listed: &HashMap<String, u64>,
    findings: &Findings,
    cancel: &CancellationToken,
) -> Records {
    let mut seen = Records::default();
    let instance = repository.instance();
    let folders =
        [layout::suspicions(instance), layout::absences(instance)].map(|folder| format!("{folder}/"));
    let is_one = |key: &&String| folders.iter().any(|folder| key.starts_with(folder));
    let mut keys: Vec<&String> = listed.keys().filter(is_one).collect();
    keys.sort();
    let trusted = trust.trusted();
    for key in keys {
        if key.ends_with(layout::RECORD_SIGNATURE) {
            continue; // with its record; alone it was cut short, and is no record
        }
        let Some(record) = Record::of(repository, key) else {
            findings.add_foreign(key, "Lifeboat stores no record under this name", false);
            continue;
        };
        let Some(trusted) = trusted.as_ref().filter(|_| !cancel.is_cancelled()) else {
            findings.skip(key, "it was not checked".to_owned());
            continue;
        };
        match record.read(repository, origin, trusted).await {
            Ok(Some((until, signed))) => {
                seen.until.extend(until.map(|until| (key.clone(), until)));
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

/// What the key of a record names.
enum Record {
    Suspicion(SnapshotId),
    Absence(SnapshotId),
}

impl Record {
    fn of(repository: &Repository, key: &str) -> Option<Record> {
        let instance = repository.instance();
        let suspicion = layout::suspicion_of(instance, key).map(Record::Suspicion);
        suspicion.or_else(|| layout::absence_of(instance, key).map(Record::Absence))
    }

    /// The record, and until when it holds something.
    async fn read(
        &self,
        repository: &Repository,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<Option<(Option<Timestamp>, Signed)>> {
        match self {
            Record::Suspicion(id) => {
                let found = repository.read_suspicion(id, origin, trusted).await?;
                Ok(found
                    .map(|(record, signed)| (Some(later(signed.record.stored_at, record.keep())), signed)))
            }
            Record::Absence(look) => {
                let found = repository.read_absence(look, origin, trusted).await?;
                Ok(found.map(|(_, signed)| (None, signed)))
            }
        }
    }
}
