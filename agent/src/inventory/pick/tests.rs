//! The order of snapshots under clocks that are wrong, positions that begin again, and copied repositories.

use super::*;
use crate::inventory::made_up::{at, base, dump, id, inventory, stored};

const YEARS: i64 = 3 * 365 * 24;

fn order(snapshots: &[Snapshot]) -> Vec<SnapshotId> {
    oldest_first(snapshots).into_iter().map(|one| one.manifest.id.clone()).collect()
}

fn ids(names: &[&str]) -> Vec<SnapshotId> {
    names.iter().map(|name| id(name)).collect()
}

/// Three dumps, one a day.
fn three() -> Vec<Snapshot> {
    [("d1", 0, 10), ("d2", 24, 20), ("d3", 48, 30)]
        .map(|(name, hour, lsn)| stored(dump(name, "shop", hour, lsn, None), hour))
        .to_vec()
}

#[test]
fn one_wrong_witness_decides_nothing() {
    let told = ids(&["d1", "d2", "d3"]);
    assert_eq!(order(&three()), told);
    for which in 0..3 {
        for wrong in [-YEARS, YEARS] {
            let mut clock = three();
            clock[which].manifest.point = at(wrong);
            assert_eq!(order(&clock), told, "the server's clock of d{} by {wrong} h", which + 1);
            let mut copied = three();
            copied[which].stored_at = at(wrong);
            assert_eq!(order(&copied), told, "the store's time of d{} by {wrong} h", which + 1);
        }
    }
    let mut copied = three();
    for (one, hour) in copied.iter_mut().zip([903, 901, 902]) {
        one.stored_at = at(hour);
    }
    assert_eq!(order(&copied), told, "copied in some order");
    let mut recovered = three();
    recovered[0].manifest.lsn = Some(Lsn(u64::MAX / 2));
    assert_eq!(order(&recovered), told, "positions begin again after a recovery to an earlier point");
}

#[test]
fn a_writers_clock_and_its_ids_are_no_order() {
    let mut snapshots = three();
    let far: SnapshotId = "20291120T000000Z-dump-00000000".parse().unwrap();
    snapshots[0].manifest.id = far.clone();
    snapshots[0].manifest.ended = at(YEARS);
    assert_eq!(order(&snapshots), [far, id("d2"), id("d3")]);
    assert!(snapshots[0].clock_note().unwrap().contains("ahead of the store's"));
    assert_eq!(snapshots[1].clock_note(), None);
    snapshots[1].manifest.ended = at(-YEARS);
    assert!(snapshots[1].clock_note().unwrap().contains("a slow clock"));
    let (ahead, later) = clocks(snapshots.iter());
    assert_eq!((ahead.len(), later), (1, 1));
    // A state from the future is as old as the store says.
    snapshots[0].manifest.point = at(YEARS);
    assert_eq!((snapshots[0].time(), snapshots[2].time()), (at(0), at(48)));
}

#[test]
fn base_backups_are_in_order_of_timeline_and_position() {
    let later = stored(base("b2", 2, 5, &["b2"]), 9);
    let before = stored(base("b1", 1, 50, &["b1"]), 7);
    assert_eq!(order(&[later, before]), ids(&["b1", "b2"]));
}

#[test]
fn the_newest_dump_is_picked_and_what_may_be_newer_is_told() {
    let mut all = inventory(three());
    let tenant: TenantName = "shop".parse().unwrap();
    assert_eq!(dump_of(&all, &tenant, &Pick::Latest).unwrap().0, id("d3"));
    assert_eq!(dump_of(&all, &tenant, &Pick::Snapshot(id("d1"))).unwrap().0, id("d1"));
    let other = dump_of(&all, &"books".parse().unwrap(), &Pick::Snapshot(id("d1")));
    assert_eq!(other.unwrap_err().kind(), Kind::Usage);
    let release = Pick::Release("r1".parse().unwrap());
    assert_eq!(dump_of(&all, &tenant, &release).unwrap_err().kind(), Kind::NotFound);
    let forged = Error::new(Kind::Signature, "not signed");
    all.snapshots.push(("20991120T000000Z-dump-00000000".parse().unwrap(), Look::NotBelieved(forged)));
    let (found, skipped) = dump_of(&all, &tenant, &Pick::Latest).unwrap();
    assert_eq!((found, skipped), (id("d3"), 1));
    let silent = Error::new(Kind::Unreachable, "no answer");
    all.snapshots.push(("20991121T000000Z-dump-00000000".parse().unwrap(), Look::NotRead(silent)));
    assert_eq!(dump_of(&all, &tenant, &Pick::Latest).unwrap_err().kind(), Kind::Unreachable);
    let base: SnapshotId = "20991121T000000Z-base-00000000".parse().unwrap();
    all.snapshots.last_mut().unwrap().0 = base;
    assert_eq!(dump_of(&all, &tenant, &Pick::Latest).unwrap().0, id("d3"));
}

fn dump_of(all: &Inventory, tenant: &TenantName, pick: &Pick) -> Result<(SnapshotId, usize)> {
    super::choose(all, tenant, SnapshotKind::Dump, pick)
        .map(|found| (found.snapshot.manifest.id.clone(), found.skipped.len()))
}
