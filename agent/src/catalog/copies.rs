//! Which databases and filestores of this host are copies that Lifeboat made, or the old states of promoted
//! tenants. They are not tenants: no backup includes them, and their filestores are not followed.
//!
//! A record counts only for the database and the directory that it was written for: the object ID, or the
//! directory, must match as well as the name. So no owner of a database can take a tenant out of the backup
//! with it; a copy that becomes the tenant is backed up at once, and so is a new database under an old name.
//! If the records are lost with the state directory, copies are backed up again, unless their comments say
//! what they are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::path::escape;
use crate::clock::{self, Timestamp};
use crate::disk;
use crate::disk::dir_id::DirId;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName};

/// What comments of copies begin with.
const COPY_MARK: &str = "lifeboat: a neutralized copy of ";
/// What comments of old states begin with.
const REPLACED_MARK: &str = "lifeboat: the old state of ";
/// Largest record that is read.
const RECORD_BYTES_MAX: u64 = 64 << 10;
/// Most records that are read: each is of a restore.
const RECORDS_MAX: usize = 10_000;

/// The kind of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyKind {
    /// A neutralized copy of a tenant.
    Copy,
    /// The state of a tenant before `lifeboat promote`.
    Replaced,
    /// A copy that `lifeboat promote` made the tenant: its old name is free since then.
    Promoted,
}

/// One copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// Its name.
    pub database: TenantName,
    /// Its object ID.
    pub oid: u32,
    /// Its kind.
    pub kind: CopyKind,
    /// The tenant that it was made from.
    pub of: TenantName,
    /// When the record was written.
    pub at: Timestamp,
    /// Its filestore.
    pub filestore: Option<DirId>,
    /// Whether it was neutralized.
    pub neutralized: bool,
}

impl CopyRecord {
    /// The comment on its database, for people and for hosts without a record.
    pub fn mark(&self) -> String {
        let (begin, verb) = match self.kind {
            CopyKind::Copy | CopyKind::Promoted => (COPY_MARK, "restored"),
            CopyKind::Replaced => (REPLACED_MARK, "replaced"),
        };
        format!("{begin}{}, {verb} {}", self.of, clock::text(self.at))
    }

    /// The same as a reason, for the report of a backup.
    pub fn why(&self) -> String {
        match self.kind {
            CopyKind::Copy => {
                format!(
                    "a neutralized copy of {} made by lifeboat restore on {}",
                    self.of,
                    clock::text(self.at)
                )
            }
            CopyKind::Promoted => format!("{} since lifeboat promote on {}", self.of, clock::text(self.at)),
            CopyKind::Replaced => {
                format!(
                    "the old state of {}, replaced by lifeboat promote on {}",
                    self.of,
                    clock::text(self.at)
                )
            }
        }
    }
}

/// The comment of a copy that is being published.
pub fn copy_mark(of: &TenantName, at: Timestamp) -> String {
    format!("{COPY_MARK}{of}, restored {}", clock::text(at))
}

/// Whether a comment says that the database is a copy. The database's owner can write that, too.
pub fn is_mark(comment: &str) -> bool {
    comment.starts_with(COPY_MARK) || comment.starts_with(REPLACED_MARK)
}

/// All records of an instance on this host.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    records: Vec<CopyRecord>,
    /// Records that cannot be read, as sentences: the databases that they name count as tenants.
    pub damaged: Vec<String>,
}

fn dir(state_dir: &Path, instance: &InstanceName) -> PathBuf {
    state_dir.join(instance.as_str()).join("copies")
}

impl Copies {
    /// Reads all records. A damaged record keeps no tenant from being backed up.
    ///
    /// # Errors
    /// Where the directory of records cannot be listed.
    pub fn read(state_dir: &Path, instance: &InstanceName) -> Result<Copies> {
        let mut copies = Copies::default();
        for entry in disk::read_dir(&dir(state_dir, instance))?.unwrap_or_default().iter().take(RECORDS_MAX) {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue; // an unfinished file of a run that was killed
            }
            let read = disk::read(&path, RECORD_BYTES_MAX).map_err(|e| e.what().to_owned());
            let parsed = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
            match parsed {
                Ok(record) => copies.records.push(record),
                Err(why) => copies.damaged.push(format!(
                    "{} is not a valid record of a copy, so the database that it names is backed up as a \
                     tenant: {why}",
                    path.display()
                )),
            }
        }
        Ok(copies)
    }

    /// Writes a record, durably; it replaces one of the same name.
    pub fn note(state_dir: &Path, instance: &InstanceName, record: &CopyRecord) -> Result<()> {
        let dir = dir(state_dir, instance);
        disk::create_private_dir(&dir)?;
        let file = dir.join(format!("{}.json", escape(record.database.as_str().as_bytes())));
        let bytes = serde_json::to_vec_pretty(record)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the record of a copy").because(e))?;
        disk::replace_durable(&file, &bytes)
    }

    /// The record of this database. A promoted one is a tenant, under whatever name.
    pub fn of_database(&self, name: &str, oid: u32) -> Option<&CopyRecord> {
        let mut copies = self.records.iter().filter(|record| record.kind != CopyKind::Promoted);
        copies.find(|record| record.database.as_str() == name && record.oid == oid)
    }

    /// The record that says that this name is free since a promotion; `None` where something was stored under
    /// it later.
    pub fn promoted(&self, name: &TenantName, stored_last: Timestamp) -> Option<&CopyRecord> {
        let mut promoted = self.records.iter().filter(|record| record.kind == CopyKind::Promoted);
        promoted.find(|record| record.database == *name && record.at > stored_last)
    }

    /// The record of this filestore.
    pub fn of_filestore(&self, name: &str, id: &DirId) -> Option<&CopyRecord> {
        let fits = |record: &&CopyRecord| {
            record.kind != CopyKind::Promoted
                && record.filestore.as_ref().is_some_and(|its| its.is_surely(id))
        };
        self.records.iter().filter(|record| record.database.as_str() == name).find(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_of_one_database_and_survives_odd_names() {
        let dir = tempfile::tempdir().unwrap();
        let instance: InstanceName = "prod".parse().unwrap();
        assert!(Copies::read(dir.path(), &instance).unwrap().records.is_empty());
        let record = CopyRecord {
            database: "it's \"x\".%2F".parse().unwrap(),
            oid: 17,
            kind: CopyKind::Copy,
            of: "shop".parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            filestore: None,
            neutralized: true,
        };
        Copies::note(dir.path(), &instance, &record).unwrap();
        Copies::note(dir.path(), &instance, &record).unwrap();
        let read = Copies::read(dir.path(), &instance).unwrap();
        assert_eq!(read.of_database("it's \"x\".%2F", 17), Some(&record));
        assert_eq!(read.of_database("it's \"x\".%2F", 18), None, "a new database under an old name");
        assert_eq!(read.of_database("shop", 17), None, "a copy that has become the tenant");
        assert_eq!(read.promoted(&record.database, Timestamp::MIN), None);
        let promoted = CopyRecord { kind: CopyKind::Promoted, ..record.clone() };
        Copies::note(dir.path(), &instance, &promoted).unwrap();
        let read = Copies::read(dir.path(), &instance).unwrap();
        assert_eq!(read.of_database("it's \"x\".%2F", 17), None, "it is a tenant");
        assert_eq!(read.promoted(&record.database, Timestamp::MIN), Some(&promoted));
        assert_eq!(read.promoted(&record.database, promoted.at), None, "a new tenant under the old name");
        Copies::note(dir.path(), &instance, &record).unwrap();
        disk::write_new_durable(&dir.path().join("prod/copies/bad.json"), b"{").unwrap();
        let read = Copies::read(dir.path(), &instance).unwrap();
        assert_eq!((read.records.len(), read.damaged.len()), (1, 1), "a damaged one hides no other");
        assert!(is_mark(&record.mark()) && is_mark(&copy_mark(&record.of, record.at)));
        assert!(!is_mark("production"));
    }
}
