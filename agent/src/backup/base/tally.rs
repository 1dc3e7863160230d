//! Counts a copy, file by file.

use std::collections::HashMap;

use crate::archive::base::{BAD_PAGES_TOLD_MAX, BadPage, Directory, LeftOut};
use crate::backup::base::packed::ReadBase;
use crate::catalog::known_base::StagedKnownBase;

/// How many skipped things are listed.
pub const NOTES_MAX: usize = 20;

/// What was copied.
pub struct Copied {
    /// The files, by path, with where they are stored.
    pub staged: StagedKnownBase,
    /// Every directory, parents first.
    pub directories: Vec<Directory>,
    /// Bytes of each database, by OID.
    pub database_bytes: HashMap<u32, u64>,
    /// How many files.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// Bytes of them that were stored.
    pub stored: u64,
    /// Bytes that were not read: WAL summaries or times say that they are unchanged.
    pub unread: u64,
    /// Bytes of these that are unchanged according to times.
    pub trusted: u64,
    /// Bytes that are unchanged according to times, and were read and compared.
    pub compared: u64,
    /// Bad pages.
    pub bad_page_count: u64,
    /// The first of them.
    pub bad_pages: Vec<BadPage>,
    /// What was skipped.
    pub notes: Vec<String>,
    /// What was skipped although it belongs to the cluster, by its path.
    pub odd: Vec<LeftOut>,
}

/// Directories and skipped things of a complete copy.
#[derive(Clone, Default)]
pub struct Listed {
    /// Parents first.
    pub directories: Vec<Directory>,
    /// In words.
    pub notes: Vec<String>,
    /// What belongs to the cluster, by its path.
    pub odd: Vec<LeftOut>,
}

/// Counts.
#[derive(Default)]
pub struct Tally {
    database_bytes: HashMap<u32, u64>,
    files: u64,
    bytes: u64,
    stored: u64,
    unread: u64,
    trusted: u64,
    compared: u64,
    bad_page_count: u64,
    bad_pages: Vec<BadPage>,
}

impl Tally {
    /// Counts a file.
    pub fn add(&mut self, read: &ReadBase) {
        let entry = &read.known.entry;
        self.files += 1;
        self.bytes += entry.bytes;
        self.stored += read.stored;
        self.unread += read.unread;
        self.trusted += read.trusted;
        self.compared += read.compared;
        if let Some(oid) = database(&entry.path) {
            *self.database_bytes.entry(oid).or_default() += entry.bytes;
        }
        self.bad_page_count += read.bad.len() as u64;
        let room = BAD_PAGES_TOLD_MAX.saturating_sub(self.bad_pages.len());
        let told = read.bad.iter().take(room);
        self.bad_pages.extend(told.map(|block| BadPage { path: entry.path.clone(), block: *block }));
    }

    /// The sum.
    pub fn finish(self, listed: Listed, staged: StagedKnownBase) -> Copied {
        Copied {
            staged,
            directories: listed.directories,
            database_bytes: self.database_bytes,
            files: self.files,
            bytes: self.bytes,
            stored: self.stored,
            unread: self.unread,
            trusted: self.trusted,
            compared: self.compared,
            bad_page_count: self.bad_page_count,
            bad_pages: self.bad_pages,
            notes: listed.notes,
            odd: listed.odd,
        }
    }
}

/// The database that a file belongs to.
fn database(path: &str) -> Option<u32> {
    let mut parts = path.split('/');
    let database = match parts.next() {
        Some("base") => parts.next(),
        Some("pg_tblspc") => parts.nth(2),
        _ => None,
    };
    database.filter(|_| parts.next().is_some())?.parse().ok()
}
