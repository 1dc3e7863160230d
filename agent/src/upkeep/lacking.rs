//! What is missing in snapshots by their own manifests. Every byte may be as it was stored: after a restore
//! it is missing all the same.
//!
//! **The rule.** Each check reports it. In the newest base backup, and in the newest dump of a tenant, it is
//! a problem (exit code 3): it would be missing now, as `status` says. In an older one it is a warning.

use std::collections::BTreeMap;

use crate::archive::manifest::{FilestoreLink, SnapshotKind};
use crate::inventory::Snapshot;
use crate::inventory::gaps::Missing;
use crate::inventory::pick::oldest_first;
use crate::names::TenantName;

/// What is missing in these snapshots.
pub fn lacking(snapshots: &[Snapshot]) -> Missing {
    let mut groups: BTreeMap<(&str, Option<&TenantName>), Vec<&Snapshot>> = BTreeMap::new();
    let asked = |one: &&Snapshot| matches!(one.manifest.kind(), SnapshotKind::Base | SnapshotKind::Dump);
    for one in snapshots.iter().filter(asked) {
        groups.entry((one.manifest.kind().as_str(), one.manifest.tenant.as_ref())).or_default().push(one);
    }
    let mut found = Missing::default();
    for group in groups.into_values() {
        for (later, one) in oldest_first(group).into_iter().rev().enumerate() {
            match later {
                0 => found.problems.extend(texts(one)),
                _ => found.warnings.extend(texts(one).map(|text| format!("{text}; there is a newer one"))),
            }
        }
    }
    found
}

fn texts(one: &Snapshot) -> impl Iterator<Item = String> {
    let id = &one.manifest.id;
    let base = one.manifest.base();
    let left_out =
        base.and_then(|facts| facts.missing()).map(|what| format!("missing in base backup {id}: {what}"));
    let bad_pages = base.map_or(0, |facts| facts.bad_page_count);
    let bad_pages = (bad_pages > 0).then(|| {
        format!("base backup {id} has {bad_pages} bad pages: they were damaged in the database itself (lifeboat show {id})")
    });
    let link = one.manifest.dump().and_then(|dump| dump.filestore.as_ref());
    let files = match link.map_or(0, FilestoreLink::missing_count) {
        0 => None,
        1 => Some(format!("missing in dump {id}: 1 file (lifeboat show {id})")),
        n => Some(format!("missing in dump {id}: {n} files (lifeboat show {id})")),
    };
    [left_out, bad_pages, files].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::base::LeftOut;
    use crate::archive::manifest::Facts;
    use crate::inventory::made_up::{base, stored};

    #[test]
    fn what_the_newest_lacks_is_a_problem_and_what_an_older_one_lacks_a_warning() {
        let lacks = |id: &str, at: i64, is_lacking: bool| {
            let mut manifest = base(id, 1, at as u64, &[id]);
            if let (Facts::Base(facts), true) = (&mut manifest.facts, is_lacking) {
                facts.left_out.push(LeftOut { what: "database far".into(), why: "a link".into() });
            }
            stored(manifest, at)
        };
        let said = |snapshots: &[Snapshot]| {
            let found = lacking(snapshots);
            (found.problems.len(), found.warnings.len())
        };
        assert_eq!(said(&[lacks("b1", 2, true)]), (1, 0));
        assert_eq!(said(&[lacks("b1", 2, true), lacks("b2", 3, false)]), (0, 1));
        assert_eq!(said(&[lacks("b2", 3, true), lacks("b1", 2, false)]), (1, 0));
        let told = lacking(&[lacks("b1", 2, true)]).problems;
        assert!(told[0].ends_with(": database far"), "{told:?}");
    }
}
