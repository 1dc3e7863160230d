//! The records of suspicious backups: one signed object for each.

use futures::TryStreamExt;

use crate::archive::manifest::Origin;
use crate::archive::signature::TrustedKeys;
use crate::archive::suspicion::{BYTES_MAX, SuspicionRecord};
use crate::clock::Timestamp;
use crate::error::{Kind, Result};
use crate::names::SnapshotId;
use crate::repository::record::{Record, Signed};
use crate::repository::{Repository, layout};

/// A record that is stored.
#[derive(Clone, Debug)]
pub struct StoredSuspicion {
    /// What it says.
    pub record: SuspicionRecord,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// Its size, without the signature.
    pub bytes: u64,
}

impl Repository {
    /// Where the record of a suspicious snapshot is stored.
    pub fn suspicion_record(&self, snapshot: &SnapshotId) -> Record<'static> {
        let key = layout::suspicion(self.instance(), snapshot);
        let signature_key = format!("{key}{}", layout::RECORD_SIGNATURE);
        Record { name: "the record of a suspicious backup", key, signature_key, bytes_max: BYTES_MAX }
    }

    /// One record; `None` if nobody signed it: it is not ours.
    ///
    /// # Errors
    /// As [`Record::read`], and `Integrity` if it is not the record of this snapshot.
    pub async fn read_suspicion(
        &self,
        snapshot: &SnapshotId,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<Option<(SuspicionRecord, Signed)>> {
        let Some(signed) = self.suspicion_record(snapshot).read(self, trusted).await? else {
            return Ok(None);
        };
        SuspicionRecord::from_json(&signed.record, origin, snapshot).map(|record| Some((record, signed)))
    }

    /// All records that somebody signed, in no particular order.
    ///
    /// # Errors
    /// Those of the store; and where a record is damaged, or signed by a stranger: what it holds is not
    /// known.
    pub async fn suspicions(&self, origin: &Origin, trusted: &TrustedKeys) -> Result<Vec<StoredSuspicion>> {
        let mut found = Vec::new();
        let mut listed = self.store().list(&layout::suspicions(self.instance()));
        while let Some(info) = listed.try_next().await? {
            let Some(id) = layout::suspicion_of(self.instance(), &info.key) else { continue };
            match self.read_suspicion(&id, origin, trusted).await {
                Ok(Some((record, _))) => {
                    found.push(StoredSuspicion { record, stored_at: info.modified, bytes: info.bytes })
                }
                Ok(None) => {}
                Err(e) if e.kind() == Kind::NotFound => {}
                Err(e) => return Err(e.context(format!("read {}", info.key))),
            }
        }
        Ok(found)
    }
}
