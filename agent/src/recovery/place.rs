//! The name of a restored tenant, and the place of its files: new names, and names for what is not
//! complete yet.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::digest::Sha256;
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{INCOMPLETE_SUFFIX, STAGING_SUFFIX, SnapshotId, TenantName, random_hex};
use crate::postgres::quote::ident;
use crate::recovery::workplace::Made;

/// The place of the filestore.
#[derive(Clone, Debug, Serialize)]
pub struct FilestorePlan {
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// The final directory; absent or empty now.
    pub dir: PathBuf,
    /// The staging directory; its name says that it is incomplete.
    pub staging: PathBuf,
    /// The number of files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// Files that the database names and no backup holds, as far as known before they are fetched.
    pub missing_files: u64,
    /// Files that this backup lacks but another one, or a batch, holds.
    pub from_elsewhere: u64,
    /// Odoo's data directory.
    #[serde(skip)]
    pub(super) data_dir: PathBuf,
    /// The file that records the staging directory.
    #[serde(skip)]
    pub(super) record: PathBuf,
    /// Whether the directory is from our own earlier try, which was killed just before the end.
    #[serde(skip)]
    pub(super) take_back: bool,
}

pub(super) fn name_taken(database: &TenantName) -> Error {
    let rename = format!("rename the existing one: ALTER DATABASE {} RENAME TO …", ident(database.as_str()));
    exists(&format!("database {database} already exists"), "it was not changed", &rename)
}

fn exists(what: &str, effect: &str, rename: &str) -> Error {
    Error::new(Kind::Refused, what).effect(format!("a restore never overwrites: {effect}")).next(format!(
        "choose another name with --as, or {rename}; lifeboat promote --help says how a copy becomes the tenant"
    ))
}

pub(super) fn default_target(tenant: &TenantName, point: Timestamp) -> Result<TenantName> {
    let suffix = point.strftime("_%Y%m%dT%H%M%S").to_string();
    let mut name = tenant.as_str().to_owned();
    while name.len() + suffix.len() > 63 {
        name.pop();
    }
    (name + &suffix).parse()
}

/// The name of an unfinished database: it says so, and is unique for the final name.
pub(super) fn incomplete_name(target: &TenantName) -> String {
    let mut name = target.as_str().to_owned();
    if name.len() + INCOMPLETE_SUFFIX.len() > 63 {
        let digest = Sha256::of(name.as_bytes()).to_string();
        while name.len() + 9 + INCOMPLETE_SUFFIX.len() > 63 {
            name.pop();
        }
        name = format!("{name}_{}", &digest[..8]);
    }
    name + INCOMPLETE_SUFFIX
}

pub(super) fn filestore_plan(
    (snapshot, files, bytes): (SnapshotId, u64, u64),
    missing_files: u64,
    data_dir: &Path,
    target: &TenantName,
    (incomplete_exists, record): (bool, PathBuf),
) -> Result<FilestorePlan> {
    let parent = data_dir.join("filestore");
    let dir = parent.join(target.as_str());
    let earlier = Made::read(&record)?.filter(|made| made.path.parent() == Some(&parent));
    let ours_at = |path: &Path| earlier.as_ref().map_or(Ok(false), |made| made.lies_at(path));
    let take_back = incomplete_exists && earlier.as_ref().is_some_and(|made| made.moved) && ours_at(&dir)?;
    let empty = match disk::metadata(&dir)? {
        None => true,
        Some(meta) => meta.is_dir() && disk::read_dir(&dir)?.is_none_or(|entries| entries.is_empty()),
    };
    if !empty && !take_back {
        let what = format!("{} already exists and is not empty", dir.display());
        return Err(exists(&what, "the files there were not changed", "move that directory away"));
    }
    let known = earlier.as_ref().map_or(Ok(false), |made| made.is_usable_at(&made.path))?;
    let staging = match earlier {
        Some(made) if take_back || known => made.path,
        // Odoo's user can write there and could prepare a name that can be guessed.
        _ => parent.join(format!("{target}.{}{STAGING_SUFFIX}", random_hex(8))),
    };
    Ok(FilestorePlan {
        snapshot,
        staging,
        dir,
        data_dir: data_dir.to_owned(),
        record,
        take_back,
        files,
        bytes,
        missing_files,
        from_elsewhere: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_is_being_made_fit_and_stay_apart() {
        let short: TenantName = "retail".parse().unwrap();
        assert_eq!(incomplete_name(&short), "retail__lifeboat_incomplete");
        let a: TenantName = format!("{}a", "x".repeat(62)).parse().unwrap();
        let b: TenantName = format!("{}b", "x".repeat(62)).parse().unwrap();
        assert!(incomplete_name(&a).len() <= 63);
        assert_ne!(incomplete_name(&a), incomplete_name(&b));
        let point = Timestamp::UNIX_EPOCH;
        assert_eq!(default_target(&short, point).unwrap().as_str(), "retail_19700101T000000");
        assert!(default_target(&a, point).is_ok());
    }
}
