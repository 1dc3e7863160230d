//! Narrows a restore to one database: fetches its files and the files that all databases share. The files
//! of other databases are created empty with their size, which is enough for replay.

use std::collections::BTreeSet;

use crate::archive::base::ClusterLayout;
use crate::names::TenantName;
use crate::recovery::instance::wanted::{File, Wanted};

/// Databases that every cluster has and that a server or a session needs.
const COMMON: [&str; 3] = ["postgres", "template0", "template1"];

/// The wanted database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// The database that had this name when the backup was taken, if there was one.
    Named(TenantName),
    /// The database with this OID, whatever its name was, and those whose files replay needs to create it.
    Oid(u32, BTreeSet<u32>),
}

/// The result of narrowing.
#[derive(Debug)]
pub struct Narrowed {
    /// The database; `None` if the backup has none of that name.
    pub oid: Option<u32>,
    /// Databases whose files are fetched, the wanted one included.
    pub whole: BTreeSet<u32>,
    /// Files that are created empty with their size.
    pub sparse: Vec<File>,
    /// Bytes of the wanted database's files.
    pub own_bytes: u64,
    /// Bytes of the files that all databases share.
    pub shared_bytes: u64,
    /// Bytes of the files that are created empty.
    pub sparse_bytes: u64,
}

impl Only {
    /// Takes the files of other databases out of `wanted`.
    pub fn narrow(&self, wanted: &mut Wanted, layout: &ClusterLayout, maintenance: &str) -> Narrowed {
        let named = |name: &str| layout.databases.iter().find(|d| d.name == name).map(|d| d.oid);
        let oid = match self {
            Only::Named(name) => named(name.as_str()),
            Only::Oid(oid, _) => Some(*oid),
        };
        let sources = match self {
            Only::Named(_) => None,
            Only::Oid(_, sources) => Some(sources),
        };
        let common = COMMON.iter().copied().chain([maintenance]).filter_map(named);
        let whole: BTreeSet<u32> = common.chain(oid).chain(sources.into_iter().flatten().copied()).collect();
        let sparse = wanted.take_out(|path| database(path).is_some_and(|oid| !whole.contains(&oid)));
        let own = |file: &&File| oid.is_some() && database(wanted.path(file)) == oid;
        let own_bytes = wanted.files().iter().filter(own).map(|file| file.bytes).sum();
        let sparse_bytes = sparse.iter().map(|file| file.bytes).sum();
        Narrowed { oid, whole, own_bytes, shared_bytes: wanted.bytes - own_bytes, sparse, sparse_bytes }
    }
}

/// The database that a file belongs to, by its path below the data directory.
pub fn database(path: &str) -> Option<u32> {
    let mut parts = path.split('/');
    let database = match parts.next() {
        Some("base") => parts.next(),
        Some("pg_tblspc") => parts.nth(2),
        _ => None,
    };
    database.filter(|_| parts.next().is_some())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_a_database_or_to_all() {
        assert_eq!(database("base/16384/2619_vm"), Some(16384));
        assert_eq!(database("pg_tblspc/16500/PG_15_202209061/16384/17000"), Some(16384));
        for shared in ["global/1262", "pg_xact/0000", "base/16384", "pg_wal/00000001", "PG_VERSION"] {
            assert_eq!(database(shared), None, "{shared}");
        }
    }
}
