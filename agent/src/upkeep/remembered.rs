//! What a check records for `lifeboat status`: the snapshots that cannot be restored whole, and what the last
//! check of everything found. A damaged snapshot stays until a later check of the same finds it whole.

use std::collections::BTreeMap;

use crate::catalog::last_verify::VerifyRun;
use crate::catalog::verified::{Broken, BrokenWal, Verified};
use crate::clock::Timestamp;
use crate::names::SnapshotId;
use crate::repository::layout;
use crate::upkeep::findings::{Covered, Report};

/// Updates what is remembered with the result of a check. A check that did not read all that it had to read
/// forgets nothing; nor does it forget what only a deeper check can see.
pub fn remember(verified: &mut Verified, report: &Report, now: Timestamp) {
    let snapshots = format!("{}/", layout::snapshots(&report.instance));
    let wal = format!("{}/", layout::wal(&report.instance));
    let mut found: BTreeMap<SnapshotId, Broken> = BTreeMap::new();
    for finding in &report.findings {
        let home = finding.object.strip_prefix(&snapshots).and_then(|rest| rest.split('/').next());
        for lost in &finding.lost {
            let own = home == Some(lost.as_str());
            let broken = found.entry(lost.clone()).or_insert_with(|| Broken {
                object: finding.object.clone(),
                what: finding.what.clone(),
                own,
                deep: report.deep,
                since: now,
                seen: now,
            });
            broken.own |= own;
        }
    }
    let whole_check = report.unasked.is_empty() && report.objects_not_checked == 0 && !report.interrupted;
    let Covered { chosen, everything } = &report.covered;
    verified.broken.retain(|id, broken| {
        // It is not there any more; if somebody removed it, that is a finding of its own.
        let is_gone = *everything && report.unasked.is_empty() && !report.interrupted && !chosen.contains(id);
        let looked =
            is_gone || whole_check && (report.deep || !broken.deep) && (*everything || chosen.contains(id));
        !looked || found.contains_key(id)
    });
    for (id, new) in found {
        let known = verified.broken.entry(id).or_insert_with(|| new.clone());
        *known =
            Broken { since: known.since, own: new.own || known.own, deep: known.deep && new.deep, ..new };
    }
    let mut bad = report.findings.iter().filter(|finding| finding.object.starts_with(&wal));
    match bad.next() {
        Some(first) => {
            let since = verified.wal.as_ref().map_or(now, |known| known.since);
            let objects = 1 + bad.count() as u64;
            verified.wal = Some(BrokenWal { objects, first: first.object.clone(), since });
        }
        None if *everything && whole_check => verified.wal = None,
        None => {}
    }
    verified.last = Some(now);
}

/// What a check of everything came to.
pub fn run(report: &Report, now: Timestamp) -> VerifyRun {
    let findings = report.findings.iter().map(|finding| format!("{}: {}", finding.object, finding.what));
    let unasked = report.unasked.iter().map(|one| format!("{}: {}", one.object, one.error.what()));
    let unasked = unasked.map(|what| format!("not looked at: {what}"));
    VerifyRun {
        at: now,
        verdict: report.verdict().err().map_or("ok", |e| e.kind().slug()).to_owned(),
        quick: report.quick,
        deep: report.deep,
        snapshots: report.snapshots,
        findings: report.findings.len() as u64,
        unasked: report.unasked.len() as u64,
        problems: report.problems.len() as u64,
        warnings: report.warnings.len() as u64,
        foreign: report.foreign.len() as u64 + report.foreign_more,
        objects_not_checked: report.objects_not_checked,
        first: VerifyRun::bounded(findings.chain(report.problems.iter().cloned()).chain(unasked)),
    }
}

/// Damaged snapshots and WAL objects that are remembered.
pub fn count(verified: &Verified) -> u64 {
    verified.broken.len() as u64 + verified.wal.as_ref().map_or(0, |wal| wal.objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SnapshotId {
        text.parse().unwrap()
    }

    fn report(found: bool, deep: bool, objects_not_checked: u64, chosen: &[&str]) -> Report {
        let (old, new) = ("20261120T000000Z-filestore-00000000", "20261121T000000Z-dump-00000000");
        let object = format!("instances/prod/snapshots/{old}/packs/000000.tar.zst.age");
        let finding =
            crate::upkeep::findings::Finding { object, what: "x".into(), lost: vec![id(old), id(new)] };
        Report {
            instance: "prod".parse().unwrap(),
            repository: String::new(),
            deep,
            quick: false,
            versions_checked: false,
            snapshots: 2,
            unfinished: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            foreign: Vec::new(),
            foreign_more: 0,
            skipped: Vec::new(),
            objects_checked: 1,
            bytes_checked: 1,
            objects_not_checked,
            bytes_not_checked: 0,
            files_checked: 0,
            findings: if found { vec![finding] } else { Vec::new() },
            unasked: Vec::new(),
            newest_whole: Vec::new(),
            interrupted: false,
            covered: Covered { chosen: chosen.iter().map(|text| id(text)).collect(), everything: false },
            doubted: None,
        }
    }

    #[test]
    fn only_a_check_of_the_same_that_read_all_of_it_forgets() {
        let both = ["20261120T000000Z-filestore-00000000", "20261121T000000Z-dump-00000000"];
        let after = |checks: &[Report]| {
            let mut verified = Verified::default();
            checks.iter().for_each(|report| remember(&mut verified, report, Timestamp::UNIX_EPOCH));
            verified.broken.len()
        };
        let bad = || report(true, false, 0, &both);
        assert_eq!(after(&[bad()]), 2);
        assert_eq!(after(&[bad(), report(false, false, 0, &both)]), 0);
        assert_eq!(after(&[bad(), report(false, false, 1, &both)]), 2, "a sample");
        assert_eq!(after(&[bad(), report(false, false, 0, &both[1..])]), 1, "the dump alone");
        let deep = report(true, true, 0, &both);
        assert_eq!(after(&[deep, report(false, false, 0, &both)]), 2, "not as deep");
        let deep = report(true, true, 0, &both);
        assert_eq!(after(&[deep, report(false, true, 0, &both)]), 0);
    }

    #[test]
    fn what_is_not_there_any_more_is_forgotten_by_a_check_of_everything() {
        let both = ["20261120T000000Z-filestore-00000000", "20261121T000000Z-dump-00000000"];
        let after = |everything: bool| {
            let mut verified = Verified::default();
            remember(&mut verified, &report(true, false, 0, &both), Timestamp::UNIX_EPOCH);
            let mut quick = report(false, false, 9, &both[..1]);
            quick.covered.everything = everything;
            remember(&mut verified, &quick, Timestamp::UNIX_EPOCH);
            count(&verified)
        };
        assert_eq!((after(false), after(true)), (2, 1), "the one that is there was not read");
    }

    #[test]
    fn whose_own_object_it_is_is_remembered() {
        let mut verified = Verified::default();
        let both = ["20261120T000000Z-filestore-00000000", "20261121T000000Z-dump-00000000"];
        remember(&mut verified, &report(true, false, 0, &both), Timestamp::UNIX_EPOCH);
        assert_eq!(verified.broken.values().map(|broken| broken.own).collect::<Vec<_>>(), [true, false]);
    }
}
