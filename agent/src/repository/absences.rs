//! The records of looks at the server: one signed object for each.

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::archive::absence::{Absence, BYTES_MAX};
use crate::archive::manifest::Origin;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::record::{Record, Signed};
use crate::repository::{Repository, layout};

/// Records that are read: one a week, for centuries. More were not made by Lifeboat.
const READ_MAX: usize = 20_000;

/// A look that is believed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredAbsence {
    /// What was seen.
    pub absence: Absence,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

impl Repository {
    fn absence_record(&self, look: &SnapshotId) -> Record<'static> {
        let key = layout::absence(self.instance(), look);
        let signature_key = format!("{key}{}", layout::RECORD_SIGNATURE);
        Record { name: "the record of absent databases", key, signature_key, bytes_max: BYTES_MAX }
    }

    /// Signs a record and stores it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn store_absence(&self, absence: &Absence, signing: &SigningKey) -> Result<()> {
        self.absence_record(&absence.look).write(self.store(), absence.to_json()?, signing).await
    }

    /// One record. `None` where nobody signed it.
    ///
    /// # Errors
    /// Those of the store; `Integrity` and `Signature` where it is not believed.
    pub async fn read_absence(
        &self,
        look: &SnapshotId,
        origin: &Origin,
        trusted: &TrustedKeys,
    ) -> Result<Option<(Absence, Signed)>> {
        let Some(signed) = self.absence_record(look).read(self, trusted).await? else { return Ok(None) };
        Absence::from_json(&signed.record, origin, look).map(|absence| Some((absence, signed)))
    }

    /// All records, in the order in which they were stored.
    ///
    /// # Errors
    /// Those of the store; and where one is not signed by a trusted key, or is damaged: it may say that a
    /// database is back.
    pub async fn absences(&self, origin: &Origin, trusted: &TrustedKeys) -> Result<Vec<StoredAbsence>> {
        let mut found = Vec::new();
        let mut listed = self.store().list(&layout::absences(self.instance()));
        while let Some(info) = listed.try_next().await? {
            let Some(look) = layout::absence_of(self.instance(), &info.key) else { continue };
            if found.len() >= READ_MAX {
                return Err(Error::new(Kind::Integrity, format!("there are more than {READ_MAX} records")));
            }
            let context = |e: Error| e.context(format!("read {}", info.key));
            let read = self.read_absence(&look, origin, trusted).await.map_err(context)?;
            let Some((absence, _)) = read else {
                return Err(Error::new(Kind::Signature, format!("{} is not signed", info.key)));
            };
            found.push(StoredAbsence { absence, stored_at: info.modified });
        }
        found.sort_by(|a, b| (a.stored_at, &a.absence.look).cmp(&(b.stored_at, &b.absence.look)));
        Ok(found)
    }
}
