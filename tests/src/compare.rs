//! Whether what came back is what was there: databases by their content, trees by their files.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Cluster;

/// The queries of [`database_digest`]; each prints lines of name, tab, value.
const DATABASE_SQL: &str = include_str!("../fixtures/database_digest.sql");
/// How many differences are printed.
const SHOWN_MAX: usize = 30;

/// What a database holds, as name → value: for each table of each schema its row count and a
/// digest over all rows in whatever order, each sequence's state, and the definitions of columns,
/// indexes, constraints, views, functions, triggers, types, extensions; large objects too.
///
/// Equal maps mean equal databases but for owners, privileges and the order of columns and rows.
pub fn database_digest(cluster: &Cluster, database: &str) -> BTreeMap<String, String> {
    let printed = cluster.psql(database, DATABASE_SQL);
    let pairs =
        printed.lines().map(|line| line.split_once('\t').unwrap_or_else(|| panic!("unexpected: {line}")));
    let digest: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(!digest.is_empty(), "database {database} has no content at all: nothing would be compared");
    digest
}

/// Passes when two databases hold the same; prints what differs otherwise.
#[track_caller]
pub fn assert_same_database(left: (&Cluster, &str), right: (&Cluster, &str)) {
    let (a, b) = (database_digest(left.0, left.1), database_digest(right.0, right.1));
    assert_same(&format!("databases {} and {}", left.1, right.1), &a, &b);
}

/// One file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of its content in hexadecimal; of a link, of its target.
    pub sha256: String,
    /// Type and permission bits.
    pub mode: u32,
}

/// Every file and link below a directory, by its path inside it. Directories are not listed.
pub fn tree_digest(dir: &Path) -> BTreeMap<PathBuf, FileState> {
    let mut tree = BTreeMap::new();
    walk(dir, &mut |path| {
        let meta = path.symlink_metadata().unwrap();
        let sha256 = match meta.is_symlink() {
            true => hex(&Sha256::digest(fs::read_link(path).unwrap().as_os_str().as_encoded_bytes())),
            false => sha256(path),
        };
        let state = FileState { bytes: meta.len(), sha256, mode: meta.mode() };
        tree.insert(path.strip_prefix(dir).unwrap().to_owned(), state);
    });
    tree
}

/// Passes when two directories hold the same files with the same content and modes.
#[track_caller]
pub fn assert_same_tree(left: &Path, right: &Path) {
    let name = format!("directories {} and {}", left.display(), right.display());
    assert_same(&name, &tree_digest(left), &tree_digest(right));
}

/// Passes when two maps are equal; prints what is only in one or differs.
#[track_caller]
pub fn assert_same<K: Ord + Debug, V: PartialEq + Debug>(what: &str, a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) {
    let found = differences(a, b);
    if !found.is_empty() {
        let shown = found.iter().take(SHOWN_MAX).map(|line| format!("  {line}\n")).collect::<String>();
        panic!("{what} differ in {} of {} entries:\n{shown}", found.len(), a.len().max(b.len()));
    }
}

/// What is only in one map or differs, a line each.
pub fn differences<K: Ord + Debug, V: PartialEq + Debug>(
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
) -> Vec<String> {
    let gone = a.iter().filter_map(|(key, left)| match b.get(key) {
        None => Some(format!("{key:?} only on the left: {left:?}")),
        Some(right) if right != left => {
            Some(format!("{key:?}: {left:?} on the left, {right:?} on the right"))
        }
        Some(_) => None,
    });
    let new = b.iter().filter(|(key, _)| !a.contains_key(key));
    gone.chain(new.map(|(key, right)| format!("{key:?} only on the right: {right:?}"))).collect()
}

/// Calls `visit` with each file and link below `dir`; no order. A missing `dir` has none.
pub fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
        Err(e) => panic!("read {}: {e}", dir.display()),
    };
    for entry in entries {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), visit),
            false => visit(&entry.path()),
        }
    }
}

/// SHA-256 of a file's content in hexadecimal.
pub fn sha256(path: &Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|e| panic!("open {}: {e}", path.display()));
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 128 * 1024]);
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hex(&hash.finalize()),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
