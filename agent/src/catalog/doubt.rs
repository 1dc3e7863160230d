//! Records a file whose content had changed although its size, inode and times had not: from then on base
//! backups read every file again, until a full one. If it is lost with the state directory, so is the known
//! base backup, and the next one is full.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Largest record that is read.
const BYTES_MAX: u64 = 64 << 10;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The file, by its escaped path below the data directory.
    pub path: String,
    /// When it was found.
    pub found: Timestamp,
}

impl Doubt {
    /// One sentence about it.
    pub fn text(&self) -> String {
        let Doubt { path, found } = self;
        format!(
            "the content of {path} had changed although its size, inode and times had not (found {})",
            clock::text(*found)
        )
    }

    /// The record in this file; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read or is damaged.
    pub fn read(file: &Path) -> Result<Option<Doubt>> {
        let bytes = match disk::read(file, BYTES_MAX) {
            Err(e) if e.kind() == Kind::NotFound => return Ok(None),
            read => read?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::new(Kind::Io, format!("{} is damaged", file.display())).because(e).effect(
                "base backups read every file until a full one is made: lifeboat backup --kind base --full",
            )
        })
    }

    /// Writes the record to this file, durably.
    pub fn keep(&self, file: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| {
            Error::new(Kind::Internal, "cannot write the record of what was found").because(e)
        })?;
        disk::replace_durable(file, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_is_an_error_and_none_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("doubt");
        assert_eq!(Doubt::read(&file).unwrap(), None);
        let doubt = Doubt { path: "base/5/16384".to_owned(), found: Timestamp::UNIX_EPOCH };
        doubt.keep(&file).unwrap();
        assert_eq!(Doubt::read(&file).unwrap(), Some(doubt));
        disk::replace_durable(&file, b"nonsense").unwrap();
        assert!(Doubt::read(&file).is_err());
    }
}
