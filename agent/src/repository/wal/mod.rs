//! WAL in the repository: listed, stored, fetched; and which of it is without gaps.
//!
//! Everything of one file of `pg_wal` lies in a folder of its own as one or more objects, each a
//! range of the file. A segment is whole when they cover it: one object of all of it, or the
//! pieces of a tail that grew, or both.

pub mod coverage;
pub mod file;
mod get;
mod lineage;
mod put;
#[cfg(test)]
mod tests;

use futures::TryStreamExt;

pub use get::WalReader;
pub use lineage::Lineages;
pub use put::{Content, Put, Sealed, WalWriter, check_stored};

use crate::archive::wal::WalName;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::names::wal::{TimelineId, WalFile};
use crate::repository::{Repository, layout};

/// A stored WAL object, as a listing tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalObject {
    /// Which bytes of which file it holds.
    pub name: WalName,
    /// Stored size.
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// What a listing of WAL found.
#[derive(Clone, Debug, Default)]
pub struct WalList {
    /// Sorted by file, then by place in it.
    pub objects: Vec<WalObject>,
    /// Keys of what tells the ancestors of timelines in clear text.
    pub lineages: Vec<(TimelineId, String)>,
    /// Keys that are no WAL objects, the first of them: nobody of ours wrote them.
    pub foreign: Vec<String>,
    /// How many more there are.
    pub foreign_more: u64,
}

/// Foreign keys that are kept of a listing: whoever can write to the store can make any number.
const FOREIGN_MAX: usize = 1_000;

impl Repository {
    /// The timelines of which something is stored, oldest first.
    pub async fn wal_timelines(&self) -> Result<Vec<TimelineId>> {
        let names = self.store().list_dirs(&layout::wal(self.instance())).await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Everything of one timeline but its history; some 200 B of memory an object.
    pub async fn wal_of_timeline(&self, timeline: TimelineId) -> Result<WalList> {
        self.list_wal(&layout::wal_timeline(self.instance(), timeline)).await
    }

    /// All history files.
    pub async fn wal_histories(&self) -> Result<WalList> {
        self.list_wal(&layout::wal_histories(self.instance())).await
    }

    /// Everything of one file: one request.
    pub async fn wal_of_file(&self, file: WalFile) -> Result<WalList> {
        self.list_wal(&layout::wal_file(self.instance(), file)).await
    }

    async fn list_wal(&self, prefix: &str) -> Result<WalList> {
        let mut list = WalList::default();
        let mut found = self.store().list(prefix);
        while let Some(info) = found.try_next().await? {
            let folder = info.key.rsplitn(3, '/').nth(2).unwrap_or_default();
            let name = info.key.get(folder.len() + 1..).and_then(|rest| rest.parse::<WalName>().ok());
            match name.filter(|name| layout::wal_object(self.instance(), name) == info.key) {
                Some(name) => {
                    list.objects.push(WalObject { name, bytes: info.bytes, stored_at: info.modified })
                }
                None => {
                    let lineage = layout::lineage_of(self.instance(), &info.key);
                    let lineage = lineage.filter(|_| list.lineages.len() < FOREIGN_MAX);
                    match lineage {
                        Some(timeline) => list.lineages.push((timeline, info.key)),
                        None if list.foreign.len() < FOREIGN_MAX => list.foreign.push(info.key),
                        None => list.foreign_more += 1,
                    }
                }
            }
        }
        list.objects.sort_by_key(|object| object.name);
        Ok(list)
    }
}
