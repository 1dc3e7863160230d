//! Compares what a base backup contains with what it should contain. PostgreSQL knows its databases and
//! tablespaces; a copy that lacks one of them starts all the same, and fails when that one is opened. So
//! whatever means loss is listed in the manifest, and the backup ends with the exit code of an incomplete
//! one.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::base::{Directory, LEFT_OUT_TOLD_MAX, LeftOut};
use crate::postgres::base::BaseServer;

/// OID of `pg_default`, whose databases are in `base`...
const DEFAULT_TABLESPACE: u32 = 1663;
/// ... and of `pg_global`, which has no databases.
const GLOBAL_TABLESPACE: u32 = 1664;

/// What is missing, compared with what the server had all the time: `before` the copy and `after` it. `odd`
/// are paths that were skipped, each with the reason.
pub fn left_out(
    before: &BaseServer,
    after: &BaseServer,
    directories: &[Directory],
    odd: &[LeftOut],
) -> Vec<LeftOut> {
    let mut odd: BTreeMap<&str, &str> = odd.iter().map(|odd| (odd.what.as_str(), odd.why.as_str())).collect();
    let held: BTreeSet<&str> = directories.iter().map(|directory| directory.path.as_str()).collect();
    let mut out = Vec::new();
    let mut miss = |what: String, path: &str| {
        let why =
            odd.remove(path).map_or_else(|| format!("the backup has no directory {path}"), str::to_owned);
        out.push(LeftOut { what, why });
    };
    for (oid, name) in &before.tablespaces {
        let path = format!("pg_tblspc/{oid}");
        let is_own = ![DEFAULT_TABLESPACE, GLOBAL_TABLESPACE].contains(oid);
        if is_own && after.tablespaces.iter().any(|(now, _)| now == oid) && !held.contains(path.as_str()) {
            miss(format!("tablespace {name}"), &path);
        }
    }
    for (oid, name, tablespace) in &before.databases {
        let Some((_, _, now)) = after.databases.iter().find(|(now, ..)| now == oid) else { continue };
        // A database that was moved during the copy is complete in one of the two: see `moved`.
        let places = [tablespace, now].map(|tablespace| place(*tablespace, *oid, &held));
        if places.iter().all(|path| !held.contains(path.as_str())) {
            miss(format!("database {name}"), &places[1]);
        }
    }
    out.extend(odd.into_iter().map(|(what, why)| LeftOut { what: what.to_owned(), why: why.to_owned() }));
    out.truncate(LEFT_OUT_TOLD_MAX);
    out
}

/// The directory of a database.
fn place(tablespace: u32, database: u32, held: &BTreeSet<&str>) -> String {
    if tablespace == DEFAULT_TABLESPACE {
        return format!("base/{database}");
    }
    // Below it is a directory of the server's version; only that one is copied.
    let above = format!("pg_tblspc/{tablespace}/");
    let version = held.range(above.as_str()..).next().and_then(|path| path.strip_prefix(&above));
    let version = version.and_then(|rest| rest.split('/').next()).unwrap_or("PG_*");
    format!("{above}{version}/{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(tablespaces: &[(u32, &str)], databases: &[(u32, &str, u32)]) -> BaseServer {
        BaseServer {
            tablespaces: tablespaces.iter().map(|(oid, name)| (*oid, (*name).to_owned())).collect(),
            databases: databases.iter().map(|(oid, name, at)| (*oid, (*name).to_owned(), *at)).collect(),
            ..BaseServer::default()
        }
    }

    #[test]
    fn what_the_server_has_all_the_time_must_be_there() {
        let tablespaces =
            [(1663, "pg_default"), (1664, "pg_global"), (20, "north"), (21, "gone"), (22, "lost")];
        let databases = [
            (5, "postgres", 1663),
            (30, "shop", 1663),
            (31, "far", 20),
            (32, "dropped", 1663),
            (33, "moved", 20),
        ];
        let before = server(&tablespaces, &databases);
        let after = server(
            &[tablespaces[2], tablespaces[4]],
            &[databases[0], databases[1], databases[2], (33, "moved", 1663)],
        );
        let directory = |path: &str| Directory { path: path.to_owned(), mode: 0o700 };
        let mut paths = vec!["base", "base/5", "base/30", "pg_tblspc/20", "pg_tblspc/20/PG_15_1"];
        paths.extend(["pg_tblspc/20/PG_15_1/31", "pg_tblspc/20/PG_15_1/33", "pg_tblspc/22"]);
        let without = |path: &str| -> Vec<Directory> {
            paths.iter().filter(|known| !known.starts_with(path)).map(|path| directory(path)).collect()
        };
        let missing = |path: &str, odd: &[LeftOut]| -> Vec<String> {
            let found = left_out(&before, &after, &without(path), odd);
            found.into_iter().map(|left| format!("{}: {}", left.what, left.why)).collect()
        };
        assert_eq!(missing("none", &[]), [] as [&str; 0]);
        assert_eq!(missing("base/30", &[]), ["database shop: the backup has no directory base/30"]);
        let odd = [
            LeftOut { what: "base/30".into(), why: "a link".into() },
            LeftOut { what: "global/1".into(), why: "x".into() },
        ];
        assert_eq!(missing("base/30", &odd), ["database shop: a link", "global/1: x"]);
        assert_eq!(
            missing("pg_tblspc/22", &[]),
            ["tablespace lost: the backup has no directory pg_tblspc/22"]
        );
        let far = missing("pg_tblspc/20/PG_15_1/31", &[]);
        assert_eq!(far, ["database far: the backup has no directory pg_tblspc/20/PG_15_1/31"]);
    }
}
