//! The files of a data directory that a base backup copies, and those that it skips: the rules of
//! PostgreSQL's own `basebackup.c`. The walk is in the order of escaped paths. It keeps no more than one
//! directory's names in memory on each level.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::archive::base::{CONTROL_FILE, LeftOut};
use crate::archive::path::escape;
use crate::backup::base::relation_files::{is_temporary, relation};
use crate::backup::file_reader::mtime_ns;
use crate::catalog::known_base::FileIdentity;
use crate::disk;
use crate::error::Result;

/// Directories at the top that the backup stores empty.
const EMPTY_DIRS: [&str; 7] =
    ["pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans", "pg_stat_tmp"];
/// Directories at the top in which only the server has files.
const OWN_DIRS: [&str; 8] =
    ["base", "global", "pg_commit_ts", "pg_logical", "pg_multixact", "pg_tblspc", "pg_twophase", "pg_xact"];
/// Files at the top that belong to the running server, or to an older backup or restore.
const SKIPPED_AT_TOP: [&str; 11] = [
    "postmaster.pid",
    "postmaster.opts",
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    "backup_manifest",
    "standby.signal",
    "recovery.signal",
];

/// One file to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFile {
    /// Escaped path below the data directory; files of tablespaces are below `pg_tblspc/<oid>`.
    pub path: String,
    /// Where it lies.
    pub location: PathBuf,
    /// Its size at the time of the walk: no more is read.
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Which file it is.
    pub seen: FileIdentity,
    /// For files of relations, which segment of one: their pages have checksums.
    pub segment: Option<u32>,
}

/// A directory outside of the data directory, with a link to it in `pg_tblspc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablespaceLink {
    /// OID: the link's name.
    pub oid: u32,
    /// Where the link leads.
    pub location: PathBuf,
}

/// What a walk finds.
#[derive(Debug)]
pub enum WalkItem {
    /// A directory, before its content: escaped path and permission bits.
    Directory(String, u32),
    /// A file.
    File(ClusterFile),
    /// Something that is skipped although no rule says so, in words.
    Odd(String),
    /// The same, in a place where only PostgreSQL has files: a restore will lack it.
    Lost(LeftOut),
}

/// The tablespaces of a data directory, by their links.
pub fn tablespaces(data_dir: &Path) -> Result<Vec<TablespaceLink>> {
    let dir = data_dir.join("pg_tblspc");
    let mut found = Vec::new();
    for entry in disk::read_dir(&dir)?.unwrap_or_default() {
        let oid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(oid), Some(location)) = (oid, disk::read_link(&entry.path())?) {
            found.push(TablespaceLink { oid, location });
        }
    }
    found.sort_by_key(|link| link.oid);
    Ok(found)
}

/// A walk over one data directory.
pub struct ClusterWalk<'a> {
    /// PGDATA.
    pub data_dir: &'a Path,
    /// Its tablespaces.
    pub tablespaces: &'a [TablespaceLink],
    /// `PG_15_202209061`: the directory of this cluster in a tablespace.
    pub version_dir: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DirLevel {
    Top,
    /// `base`, or a version's directory in a tablespace: holds databases.
    Databases,
    /// A database's directory, or `global`: holds relations.
    Relations,
    /// `pg_tblspc`.
    Tablespaces,
    /// `pg_tblspc/<oid>`.
    Tablespace,
    Other,
}

impl ClusterWalk<'_> {
    /// Visits everything that exists now; what disappears during the walk is skipped.
    ///
    /// # Errors
    /// A directory that cannot be read, and those of `each`.
    pub fn run(&self, each: &mut dyn FnMut(WalkItem) -> Result<()>) -> Result<()> {
        self.directory(self.data_dir, "", DirLevel::Top, each)
    }

    fn directory(
        &self,
        dir: &Path,
        prefix: &str,
        place: DirLevel,
        each: &mut dyn FnMut(WalkItem) -> Result<()>,
    ) -> Result<()> {
        // Sorted as whole paths are: a directory's name counts with a slash at its end.
        let mut names = Vec::new();
        for entry in disk::read_dir(dir)?.unwrap_or_default() {
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue }; // it is gone
            // Links lead to tablespaces, and from the top to directories that a person put elsewhere.
            let link = kind.is_symlink()
                && (place == DirLevel::Tablespaces || place == DirLevel::Top)
                && disk::is_dir(&entry.path());
            let slash = if kind.is_dir() || link { "/" } else { "" };
            names.push((escape(name.as_bytes()) + slash, name));
        }
        names.sort();
        let unlogged = unlogged(place, names.iter().map(|(escaped, _)| escaped.as_str()));
        for (escaped, name) in names {
            let location = dir.join(&name);
            let path = format!("{prefix}{escaped}");
            if let Some(path) = path.strip_suffix('/') {
                self.subdirectory(&location, path, escaped.trim_end_matches('/'), place, each)?;
            } else if !skipped(&path, &escaped, place, &unlogged) {
                match disk::metadata(&location)? {
                    Some(meta) if meta.is_file() => {
                        let segment =
                            relation(&escaped).filter(|_| place == DirLevel::Relations).map(|r| r.segment);
                        let (bytes, mtime_ns, seen) =
                            (meta.len(), mtime_ns(&meta), FileIdentity::from(&meta));
                        each(WalkItem::File(ClusterFile { path, location, bytes, mtime_ns, seen, segment }))?;
                    }
                    Some(meta) => {
                        let what = if meta.is_symlink() { "a link" } else { "not a regular file" };
                        let top = path.split('/').next().unwrap_or_default();
                        each(match place != DirLevel::Top && OWN_DIRS.contains(&top) {
                            true => WalkItem::Lost(LeftOut {
                                why: format!("{} is {what}: not backed up", location.display()),
                                what: path,
                            }),
                            false => WalkItem::Odd(format!("{} is {what}: skipped", location.display())),
                        })?;
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn subdirectory(
        &self,
        dir: &Path,
        path: &str,
        name: &str,
        place: DirLevel,
        each: &mut dyn FnMut(WalkItem) -> Result<()>,
    ) -> Result<()> {
        if name.starts_with("pgsql_tmp") || (place == DirLevel::Tablespace && name != self.version_dir) {
            return Ok(());
        }
        if place == DirLevel::Other || place == DirLevel::Top {
            // A tablespace inside the data directory comes by way of its link.
            let inside = self.tablespaces.iter().any(|link| link.location == dir);
            if inside {
                return Ok(());
            }
        }
        let Some(mode) = disk::mode(dir)? else { return Ok(()) };
        each(WalkItem::Directory(path.to_owned(), mode))?;
        let next = match (place, name) {
            (DirLevel::Top, "pg_wal") => {
                return each(WalkItem::Directory(format!("{path}/archive_status"), mode));
            }
            (DirLevel::Top, name) if EMPTY_DIRS.contains(&name) => return Ok(()),
            (DirLevel::Top, "base") | (DirLevel::Tablespace, _) => DirLevel::Databases,
            (DirLevel::Top, "global") | (DirLevel::Databases, _) => DirLevel::Relations,
            (DirLevel::Top, "pg_tblspc") => DirLevel::Tablespaces,
            (DirLevel::Tablespaces, _) => DirLevel::Tablespace,
            _ => DirLevel::Other,
        };
        self.directory(dir, &format!("{path}/"), next, each)
    }
}

fn skipped(path: &str, name: &str, place: DirLevel, unlogged: &HashSet<String>) -> bool {
    if path == CONTROL_FILE || name.starts_with("pgsql_tmp") || name.starts_with("pg_internal.init") {
        return true;
    }
    match place {
        DirLevel::Top => SKIPPED_AT_TOP.contains(&name),
        DirLevel::Relations => match relation(name) {
            Some(relation) => relation.fork != Some("init") && unlogged.contains(relation.node),
            None => is_temporary(name),
        },
        _ => false,
    }
}

/// Whether the backup leaves out a file that the server sends: files of a running server or of an older
/// restore. The server itself leaves out everything else.
pub fn is_left_out(path: &str) -> bool {
    SKIPPED_AT_TOP.contains(&path)
}

/// Relations of a directory that have an init fork: recovery creates their other forks again.
fn unlogged<'a>(place: DirLevel, names: impl Iterator<Item = &'a str>) -> HashSet<String> {
    if place != DirLevel::Relations {
        return HashSet::new();
    }
    names.filter_map(relation).filter(|r| r.fork == Some("init")).map(|r| r.node.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, path: &str) {
        let file = root.join(path);
        disk::create_private_dir(file.parent().unwrap()).unwrap();
        disk::write_new_durable(&file, b"x").unwrap();
    }

    #[test]
    fn the_list_is_postgresqls_own_and_sorted() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for path in [
            "PG_VERSION",
            "postmaster.pid",
            "backup_label",
            "recovery.signal",
            "postgresql.auto.conf",
            "pg_wal/000000010000000000000001",
            "pg_stat_tmp/x",
            "pg_replslot/a/state",
            "pg_xact/0000",
            "pg_twophase/00000001",
            "global/pg_control",
            "global/1262",
            "global/pg_internal.init",
            "base/1/1259",
            "base/1/1259.1",
            "base/1/1259_fsm",
            "base/1/pg_internal.init.77",
            "base/1/pg_filenode.map",
            "base/5/100",
            "base/5/100.1",
            "base/5/100_init",
            "base/5/100_vm",
            "base/5/1000",
            "base/5/t3_44",
            "base/5/t3_44_fsm",
            "base/5/pgsql_tmp1.0",
            "base/pgsql_tmp/x",
            "inside/PG_15_1/5/7",
            "inside/PG_14_9/5/7",
        ] {
            make(&data, path);
        }
        make(dir.path(), "out/PG_15_1/5/8");
        disk::create_private_dir(&data.join("pg_tblspc")).unwrap();
        std::os::unix::fs::symlink(data.join("inside"), data.join("pg_tblspc/11")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("out"), data.join("pg_tblspc/22")).unwrap();
        std::os::unix::fs::symlink("/etc/hosts", data.join("odd")).unwrap();
        std::os::unix::fs::symlink("/etc", data.join("base/16384")).unwrap();
        std::os::unix::fs::symlink("/none", data.join("pg_tblspc/33")).unwrap();
        std::os::unix::fs::symlink("/etc/hosts", data.join("base/5/2000")).unwrap();
        let links = tablespaces(&data).unwrap();
        assert_eq!(links.iter().map(|l| l.oid).collect::<Vec<_>>(), [11, 22, 33]);
        let walk = ClusterWalk { data_dir: &data, tablespaces: &links, version_dir: "PG_15_1".into() };
        let (mut files, mut dirs, mut odd, mut lost) = (Vec::new(), Vec::new(), 0, Vec::new());
        walk.run(&mut |found| {
            match found {
                WalkItem::File(file) => files.push((file.path, file.segment)),
                WalkItem::Directory(path, _) => dirs.push(path),
                WalkItem::Odd(_) => odd += 1,
                WalkItem::Lost(left) => lost.push(left.what),
            }
            Ok(())
        })
        .unwrap();
        let expected = [
            ("PG_VERSION", None),
            ("base/1/1259", Some(0)),
            ("base/1/1259.1", Some(1)),
            ("base/1/1259_fsm", Some(0)),
            ("base/1/pg_filenode.map", None),
            ("base/5/1000", Some(0)),
            ("base/5/100_init", Some(0)),
            ("global/1262", Some(0)),
            ("pg_tblspc/11/PG_15_1/5/7", Some(0)),
            ("pg_tblspc/22/PG_15_1/5/8", Some(0)),
            ("pg_twophase/00000001", None),
            ("pg_xact/0000", None),
            ("postgresql.auto.conf", None),
        ];
        let files: Vec<_> = files.iter().map(|(path, segment)| (path.as_str(), *segment)).collect();
        assert_eq!(files, expected);
        assert_eq!(odd, 1);
        assert_eq!(lost, ["base/16384", "base/5/2000", "pg_tblspc/33"]);
        for dir in ["pg_wal", "pg_wal/archive_status", "pg_stat_tmp", "pg_replslot", "pg_tblspc/22/PG_15_1/5"]
        {
            assert!(dirs.iter().any(|d| d == dir), "{dir} is kept: {dirs:?}");
        }
        assert!(!dirs.iter().any(|d| d.contains("pgsql_tmp")
            || d.starts_with("inside")
            || d.contains("PG_14")
            || d == "pg_replslot/a"));
    }
}
