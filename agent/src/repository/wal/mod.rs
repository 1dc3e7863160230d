//! WAL in the repository: listed, stored, fetched; and which of it has no gaps.
//!
//! Everything of one file of `pg_wal` is in a folder of its own as one or more objects, each a range of the
//! file. A segment is complete when they cover it: one object of all of it, or the pieces of a tail that
//! grew, or both. Which names count is in `believed.rs`: nothing else lists WAL.

mod believed;
mod claims;
mod compare;
pub mod coverage;
pub mod file;
mod get;
mod lineage;
mod put;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[allow(clippy::disallowed_methods)] // files that are not ours are made directly
mod tests_foreign;

use std::borrow::Cow;

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

pub use compare::{Beginning, Content, check_stored};
pub use get::{Histories, WalReader};
pub use lineage::Lineages;
pub use put::{Put, Sealed, Stored, WalWriter};

use crate::archive::wal::{STORED_BYTES_MAX, WalName};
use crate::archive::wal_name::NameTrust;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::names::wal::{TimelineId, WalFile};
use crate::repository::{Repository, layout};
use crate::store::ObjectInfo;
use believed::{Judging, SPARE_CHECKS, count};

/// A stored WAL object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalObject {
    /// Which bytes of which file it holds.
    pub name: WalName,
    /// Stored size.
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// The WAL of an instance: what counts, and what does not.
#[derive(Clone, Debug, Default)]
pub struct WalList {
    /// Sorted by file, then by place in it.
    pub objects: Vec<WalObject>,
    /// Objects that list the ancestors of timelines in clear text, trusted or not.
    pub lineages: Vec<LineageObject>,
    /// Objects among the WAL that are ignored.
    pub foreign: Foreign,
}

/// An object in a listing that lists the ancestors of a timeline in clear text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineageObject {
    /// The timeline.
    pub timeline: TimelineId,
    /// Its key.
    pub key: String,
    /// Stored size.
    pub bytes: u64,
}

/// The objects of one file, or of a folder, in one listing.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Those whose names a trusted key signed for this place; all, where a person turned that check off.
    pub signed: Vec<WalObject>,
    /// Those whose names have no signature: from before names were signed, or made by anybody.
    pub unsigned: Vec<WalObject>,
    /// Objects that list the ancestors of timelines.
    pub lineages: Vec<LineageObject>,
    /// Objects that are ignored.
    pub foreign: Foreign,
}

/// Foreign keys that are kept of a listing: whoever can write to the store can make any number.
const FOREIGN_MAX: usize = 1_000;

/// Objects among the WAL that are ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Foreign {
    /// The first of them: key, and why it does not count.
    pub first: Vec<(String, Cow<'static, str>)>,
    /// How many more there are.
    pub more: u64,
}

impl Foreign {
    /// How many.
    pub fn count(&self) -> u64 {
        self.first.len() as u64 + self.more
    }

    /// One sentence about them; `None` where there are none.
    pub fn text(&self) -> Option<String> {
        let (key, why) = self.first.first()?;
        Some(match self.count() {
            1 => format!("1 object among the WAL is foreign and is ignored: {key}: {why}"),
            n => format!("{n} objects among the WAL are foreign and are ignored; the first is {key}: {why}"),
        })
    }

    fn add(&mut self, key: String, why: &'static str) {
        match self.first.len() < FOREIGN_MAX {
            true => self.first.push((key, why.into())),
            false => self.more += 1,
        }
    }
}

impl Repository {
    /// All WAL of the instance that counts; about 300 B of memory per object. Of objects within the range of
    /// others only a part may be listed, unless `every` object is requested.
    pub async fn wal(&self, trust: &NameTrust, every: bool) -> Result<WalList> {
        let spare_checks = if every { u64::MAX } else { SPARE_CHECKS };
        let listed = self.list_wal(&layout::wal(self.instance()), trust, spare_checks).await?;
        Ok(count(listed, |object| layout::wal_object(self.instance(), &object.name)))
    }

    /// All history files.
    pub async fn wal_histories(&self, trust: &NameTrust) -> Result<Listed> {
        self.list_wal(&layout::wal_histories(self.instance()), trust, SPARE_CHECKS).await
    }

    /// Everything of one file: one request.
    pub async fn wal_of_file(&self, file: WalFile, trust: &NameTrust) -> Result<Listed> {
        self.list_wal(&layout::wal_file(self.instance(), file), trust, SPARE_CHECKS).await
    }

    async fn list_wal(&self, prefix: &str, trust: &NameTrust, spare_checks: u64) -> Result<Listed> {
        let lease = layout::wal_lease(self.instance());
        let mut listed = Listed::default();
        let mut judging = Judging::new(trust, spare_checks);
        let refuse = |foreign: &mut Foreign, objects: Vec<WalObject>| {
            for object in objects {
                foreign.add(layout::wal_object(self.instance(), &object.name), Foreign::REFUSED);
            }
        };
        let mut found = self.store().list(prefix);
        while let Some(info) = found.try_next().await? {
            let lineage = layout::lineage_of(self.instance(), &info.key).filter(|_| info.odd.is_none());
            if let Some(timeline) = lineage.filter(|_| listed.lineages.len() < FOREIGN_MAX) {
                listed.lineages.push(LineageObject { timeline, key: info.key, bytes: info.bytes });
                continue;
            }
            match self.wal_object(&info) {
                _ if info.key == lease => {}
                Err(why) => listed.foreign.add(info.key, why),
                Ok(object) if trust.is_given_up() => listed.signed.push(object),
                Ok(object) if object.name.signature.is_none() => listed.unsigned.push(object),
                Ok(object) => judging.add(object).await?,
            }
            refuse(&mut listed.foreign, judging.take_refused());
        }
        let (signed, refused) = judging.finish().await?;
        listed.signed.extend(signed);
        refuse(&mut listed.foreign, refused);
        listed.signed.sort_by_key(|object| object.name);
        listed.unsigned.sort_by_key(|object| object.name);
        listed.foreign.first.sort();
        Ok(listed)
    }

    /// What a key claims to be; or why it is not ours.
    fn wal_object(&self, info: &ObjectInfo) -> Result<WalObject, &'static str> {
        let folder = info.key.rsplitn(3, '/').nth(2).unwrap_or_default();
        let name = info.key.get(folder.len() + 1..).and_then(|rest| rest.parse::<WalName>().ok());
        let name = name.filter(|name| layout::wal_object(self.instance(), name) == info.key);
        let name = name.ok_or("it is not a WAL object")?;
        if let Some(odd) = info.odd {
            return Err(odd);
        }
        if info.bytes == 0 || info.bytes > STORED_BYTES_MAX {
            return Err("a WAL object cannot have this size");
        }
        Ok(WalObject { name, bytes: info.bytes, stored_at: info.modified })
    }
}
