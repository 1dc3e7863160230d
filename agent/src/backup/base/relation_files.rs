//! What the names of files of relations say: node, fork and segment (PostgreSQL manual, 73.1).

use crate::postgres::summaries::Fork;

/// OID of `pg_default`, whose files are in `base`...
const DEFAULT_TABLESPACE: u32 = 1663;
/// ... and of `pg_global`.
const GLOBAL_TABLESPACE: u32 = 1664;
/// Which segment of a relation this file is, if it is one.
pub fn segment_of(path: &str) -> Option<u32> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["global", name] | ["base", _, name] | ["pg_tblspc", _, _, _, name] => {
            relation(name).map(|relation| relation.segment)
        }
        _ => None,
    }
}

/// Of a file with pages of a relation that WAL summaries cover: the fork, and which segment of it. Free space
/// maps and visibility maps are not covered.
pub fn fork_of(path: &str) -> Option<(Fork, u32)> {
    let parts: Vec<&str> = path.split('/').collect();
    let (tablespace, database, name) = match parts.as_slice() {
        ["global", name] => (GLOBAL_TABLESPACE, 0, name),
        ["base", database, name] => (DEFAULT_TABLESPACE, database.parse().ok()?, name),
        ["pg_tblspc", tablespace, _, database, name] => {
            (tablespace.parse().ok()?, database.parse().ok()?, name)
        }
        _ => return None,
    };
    let found = relation(name)?;
    let fork = match found.fork {
        None => 0,
        Some("init") => 3,
        Some(_) => return None,
    };
    Some((Fork { tablespace, database, relation: found.node.parse().ok()?, fork }, found.segment))
}

/// What a file name of a relation says.
pub(super) struct Relation<'a> {
    pub node: &'a str,
    pub fork: Option<&'a str>,
    pub segment: u32,
}

/// `16384`, `16384.1`, `16384_fsm`, `16384_vm.2`.
pub(super) fn relation(name: &str) -> Option<Relation<'_>> {
    let (name, segment) = match name.split_once('.') {
        Some((name, segment)) => (name, segment.parse().ok()?),
        None => (name, 0),
    };
    let (node, fork) = match name.split_once('_') {
        Some((node, fork)) => (node, Some(fork)),
        None => (name, None),
    };
    let fork_fits = fork.is_none_or(|fork| ["fsm", "vm", "init"].contains(&fork));
    (digits(node) && fork_fits).then_some(Relation { node, fork, segment })
}

/// `t3_16384`, `t3_16384_fsm`, `t3_16384.1`.
pub(super) fn is_temporary(name: &str) -> bool {
    let rest = name.strip_prefix('t').and_then(|rest| rest.split_once('_'));
    rest.is_some_and(|(backend, name)| digits(backend) && relation(name).is_some())
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_told_by_the_path() {
        for (path, segment) in [
            ("global/1262", Some(0)),
            ("base/5/16384.3", Some(3)),
            ("base/5/16384_fsm", Some(0)),
            ("pg_tblspc/16390/PG_15_202209061/5/17000.1", Some(1)),
            ("base/5/pg_filenode.map", None),
            ("base/5", None),
            ("pg_xact/0000", None),
            ("1262", None),
        ] {
            assert_eq!(segment_of(path), segment, "{path}");
        }
        let fork = |tablespace, database, relation, fork| Fork { tablespace, database, relation, fork };
        for (path, expected) in [
            ("global/1262", Some((fork(1664, 0, 1262, 0), 0))),
            ("base/5/16384.3", Some((fork(1663, 5, 16384, 0), 3))),
            ("base/5/16384_init", Some((fork(1663, 5, 16384, 3), 0))),
            ("pg_tblspc/16390/PG_17_202406281/5/17000.1", Some((fork(16390, 5, 17000, 0), 1))),
            ("base/5/16384_fsm", None),
            ("base/5/16384_vm.1", None),
            ("base/5/pg_filenode.map", None),
            ("pg_xact/0000", None),
        ] {
            assert_eq!(fork_of(path), expected, "{path}");
        }
    }
}
