//! Base backups of a whole cluster: what their manifests say in clear text, and the encrypted layout beside
//! the packs. Everything else is as in other snapshots: packs, and an index that is always complete.

use serde::{Deserialize, Serialize};

use crate::names::{Lsn, SnapshotId};

/// Written last on restore: a directory without it does not start.
pub const CONTROL_FILE: &str = "global/pg_control";
/// PostgreSQL's file that says where recovery begins.
pub const LABEL_FILE: &str = "backup_label";
/// Where tablespaces were; a restore makes the links itself.
pub const TABLESPACE_MAP_FILE: &str = "tablespace_map";
/// The encrypted [`ClusterLayout`] of a base backup.
pub const LAYOUT_NAME: &str = "cluster.zst.age";
/// How many left-out things a manifest lists.
pub const LEFT_OUT_TOLD_MAX: usize = 1000;
/// How many of them a message lists.
const MISSING_NAMED_MAX: usize = 5;
/// How many bad pages a manifest lists one by one.
pub const BAD_PAGES_TOLD_MAX: usize = 1000;

/// The facts of a base backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFacts {
    /// PostgreSQL's identity of the cluster, as text: JSON numbers do not hold 64 bits everywhere.
    pub system_identifier: String,
    /// As in `15.10 (Debian 15.10-0+deb12u1)`.
    pub server_version: String,
    /// As in `15`: only this one can start it.
    pub server_major: u32,
    /// The timeline that it was taken on.
    pub timeline: u32,
    /// Where replay begins: WAL from here to `stop_lsn` is needed, and is in the backup itself.
    pub start_lsn: Lsn,
    /// The checkpoint that replay begins with.
    pub checkpoint_lsn: Lsn,
    /// Where the copy is consistent: the earliest point that it can be recovered to.
    pub stop_lsn: Lsn,
    /// Size of a WAL segment.
    pub wal_segment_bytes: u64,
    /// Whether it was taken from a standby.
    pub from_standby: bool,
    /// Whether the cluster has page checksums; without them no page was checked.
    pub data_checksums: bool,
    /// Directories outside the data directory.
    pub tablespaces: Vec<Tablespace>,
    /// The full backup first, this one last: the files are in their packs. The index names the same
    /// snapshots.
    pub chain: Vec<SnapshotId>,
    /// Why this is a full backup although a parent was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_because: Option<String>,
    /// Files of the index.
    pub files: u64,
    /// Their sizes added up.
    pub bytes: u64,
    /// How many bytes were not read, because the server's WAL summaries or the times of files say that they
    /// are unchanged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread_bytes: u64,
    /// Pages whose checksum was wrong.
    pub bad_page_count: u64,
    /// The first of them (at most 1,000).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_pages: Vec<BadPage>,
    /// What it should contain and does not (the first 1,000): a restore will lack it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What its indexes require of the operating system; older backups do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_on: Option<MadeOn>,
}

/// Where a cluster's server ran, as far as the order in its indexes depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeOn {
    /// What the server was compiled for, as in `x86_64-pc-linux-gnu`.
    pub platform: String,
    /// The version of the C library, which sorts text; `None` where the server does not report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// The version of ICU's collations; `None` where the server has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu: Option<String>,
}

/// Something of the cluster that a base backup lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// `database shop`, `tablespace north`, or the path of a file.
    pub what: String,
    /// Why.
    pub why: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One tablespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tablespace {
    /// OID; its files are below `pg_tblspc/<oid>`.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// The directory where it was.
    pub location: String,
}

/// A page whose checksum was wrong twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadPage {
    /// The file, as the index has it.
    pub path: String,
    /// The page, counted from the start of the relation across its segments.
    pub block: u32,
}

/// What a restore needs beside the files; encrypted, because names can be confidential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterLayout {
    /// Every directory, parents first.
    pub directories: Vec<Directory>,
    /// The databases, and which directory each one is.
    pub databases: Vec<Database>,
    /// Settings that must be at least as large on a server that replays it, as PostgreSQL writes them.
    pub settings: Vec<(String, String)>,
}

/// One directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Escaped path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
}

/// One database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// OID: the name of its directories.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// OID of its default tablespace.
    pub tablespace: u32,
    /// Bytes of its files in this backup, in all tablespaces.
    pub bytes: u64,
    /// How it sorts text; older backups do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Collation>,
}

/// How a database sorts text by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    /// `c` for the C library, `i` for ICU, `b` for PostgreSQL's own, as in `pg_database`.
    pub provider: String,
    /// As in `de_DE.UTF-8`.
    pub locale: String,
    /// The version with which the server sorted; `None` where the order never changes, or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl BaseFacts {
    /// Whether no other snapshot is needed.
    pub fn is_full(&self) -> bool {
        self.chain.len() == 1
    }

    /// What it should contain and does not, the first few by name; `None` where nothing is missing.
    pub fn missing(&self) -> Option<String> {
        let named: Vec<&str> =
            self.left_out.iter().take(MISSING_NAMED_MAX).map(|left| left.what.as_str()).collect();
        match self.left_out.len().saturating_sub(named.len()) {
            _ if named.is_empty() => None,
            0 => Some(named.join(", ")),
            more => Some(format!("{} and {more} more", named.join(", "))),
        }
    }
}
