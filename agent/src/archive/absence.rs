//! The record of a look at the server: which tenants' databases are gone. A tenant whose database is seen to
//! be gone for long enough loses its last backup (`class.NAME.dropped`), so only a look is a record that is
//! signed, and says what the server's own list had.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::archive::manifest::Origin;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};

/// The kind in the ID of a look.
pub const KIND: &str = "absence";
/// Largest record that is read.
pub const BYTES_MAX: u64 = 1 << 20;
const FORMAT: u32 = 1;

/// What a host saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    format: u32,
    /// Where it belongs.
    pub origin: Origin,
    /// The look, as in its key.
    pub look: SnapshotId,
    /// Tenants that this host has backed up, and whose databases the server does not have any more, under no
    /// name.
    pub absent: BTreeSet<TenantName>,
    /// Tenants that were absent at an earlier look, and are not now.
    pub back: BTreeSet<TenantName>,
}

impl Absence {
    /// A new one.
    pub fn new(
        origin: Origin,
        look: SnapshotId,
        absent: BTreeSet<TenantName>,
        back: BTreeSet<TenantName>,
    ) -> Absence {
        Absence { format: FORMAT, origin, look, absent, back }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// `Internal`, which is a bug.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string_pretty(self).map_err(|e| {
            Error::new(Kind::Internal, "cannot write the record of absent databases").because(e)
        })?;
        Ok((text + "\n").into_bytes())
    }

    /// Reads the record of this look; its signature was checked.
    ///
    /// # Errors
    /// `Integrity` where it cannot be read, is of a newer format, or of another look or repository.
    pub fn from_json(text: &[u8], origin: &Origin, look: &SnapshotId) -> Result<Absence> {
        let bad =
            |why: String| Error::new(Kind::Integrity, format!("the record {look} is wrong")).because(why);
        let read: Absence = serde_json::from_slice(text).map_err(|e| bad(e.to_string()))?;
        if read.format != FORMAT {
            return Err(bad(format!("it has format {}, and this program reads {FORMAT}", read.format)));
        }
        match read.origin == *origin && read.look == *look {
            true => Ok(read),
            false => Err(bad("it was written for another look, repository or instance".to_owned())),
        }
    }
}
