//! Plans of made-up inventories: no disk, no server, no identity.

use super::*;
use crate::archive::wal_history::Ancestor;
use crate::archive::wal_records::Mark;
use crate::error::{Error, Kind};
use crate::inventory::decide::{RestorePoint, Seen};
use crate::inventory::made_up::{SEGMENT, at, base, dump, filestore, id, inventory, stored, wal};
use crate::inventory::pick::Pick;
use crate::inventory::reach::{StoredWal, Unknown};
use crate::inventory::target::Target;
use crate::inventory::{Look, Part};
use crate::names::wal::TimelineId;
use crate::names::{Lsn, SnapshotId};
use crate::repository::wal::coverage::TimelineWindows;

fn sized(manifest: crate::archive::manifest::Manifest, hour: i64, bytes: u64) -> crate::inventory::Snapshot {
    crate::inventory::Snapshot { stored_bytes: bytes, ..stored(manifest, hour) }
}

/// Base backups in segments 2 and 8, the second needs the first; WAL in these segments.
fn instance(ranges: &[(u64, u64)]) -> Inventory {
    let mut all = inventory([
        sized(base("b1", 1, 2, &["b1"]), 2, 1_000),
        sized(base("b2", 1, 8, &["b1", "b2"]), 8, 30),
    ]);
    all.wal = Part::Found(wal(ranges));
    all
}

fn point(all: &Inventory, target: Target) -> Result<PointPlan> {
    PointPlan::new(all, &PointAsked::instance(target), at(20))
}

fn set(all: &mut Inventory, name: &str, look: Look) {
    let place = all.snapshots.iter().position(|(known, _)| *known == id(name)).unwrap();
    all.snapshots[place].1 = look;
}

#[test]
fn the_instance_at_a_point_comes_from_the_newest_base_backup_before_it() {
    let all = instance(&[(3, 12)]);
    let latest = point(&all, Target::Latest).unwrap();
    assert_eq!((&latest.snapshot, latest.chain.clone()), (&id("b2"), vec![id("b1"), id("b2")]));
    assert_eq!(latest.stored_bytes, 1_030, "all of its chain");
    assert_eq!((latest.wal_end, latest.wal_stored_at), (Some(Lsn(12 * SEGMENT)), Some(at(12))));
    assert_eq!(latest.wal_bytes, 4 * SEGMENT - 40, "from its start to the end of the WAL");
    assert_eq!(latest.loss_seconds, Some(8 * 3_600));
    let time = point(&all, Target::Time(at(5))).unwrap();
    assert_eq!((&time.snapshot, time.stored_bytes, time.loss_seconds), (&id("b1"), 1_000, Some(15 * 3_600)));
    let lsn = point(&all, Target::Lsn(Lsn(4 * SEGMENT))).unwrap();
    assert_eq!((&lsn.snapshot, lsn.wal_bytes), (&id("b1"), 2 * SEGMENT - 40));
    let asked = PointAsked { snapshot: Some(id("b1")), ..PointAsked::instance(Target::Immediate) };
    let named = PointPlan::new(&all, &asked, at(20)).unwrap();
    assert_eq!((&named.snapshot, named.wal_bytes, named.loss_seconds), (&id("b1"), 260, Some(18 * 3_600)));
    let own = PointAsked { own_command: true, ..PointAsked::instance(Target::Time(at(7))) };
    let own = PointPlan::new(&inventory_without_wal(), &own, at(20)).unwrap();
    assert_eq!((&own.snapshot, own.wal_end), (&id("b1"), None));
    assert!(own.warnings[0].contains("it is not known whether it reaches the target"), "{:?}", own.warnings);
}

fn inventory_without_wal() -> Inventory {
    Inventory { wal: Part::NotAsked, ..instance(&[]) }
}

#[test]
fn a_tenant_at_a_point_is_planned_by_the_same_rule_and_says_whose_it_is() {
    let all = instance(&[(3, 12)]);
    let tenant = Some("shop".parse().unwrap());
    let asked = PointAsked { tenant, ..PointAsked::instance(Target::Time(at(9))) };
    let Plan::Point(plan) = plan(&all, &Asked::Point(asked), at(20)).unwrap() else { panic!() };
    let of_all = point(&all, Target::Time(at(9))).unwrap();
    assert_eq!(PointPlan { tenant: None, ..plan.clone() }, of_all);
    let (json, text) = (serde_json::to_value(&plan).unwrap(), Plan::Point(plan).to_string());
    assert_eq!((&json["tenant"], &json["snapshot"]), (&"shop".into(), &id("b2").as_str().into()));
    assert!(text.starts_with("restore shop at a point in time from memory:"), "{text}");
    assert!(text.contains("fetches     at most 1.0 KiB, and WAL of about"), "{text}");
}

#[test]
fn a_point_that_cannot_be_reached_is_refused_with_the_reason() {
    let refused = |all: &Inventory, target: Target, said: &str| {
        let e = point(all, target).unwrap_err();
        let told = format!("{} {}", e.what(), e.causes().join(" "));
        assert!(e.kind() == Kind::Refused && told.contains(said), "{said}: {told}");
    };
    let all = instance(&[(3, 12)]);
    refused(&all, Target::Time(at(1)), "it is consistent from");
    refused(&all, Target::Time(at(13)), "WAL is stored up to");
    refused(&all, Target::Lsn(Lsn(12 * SEGMENT)), "WAL is stored up to");
    refused(&instance(&[(3, 10), (11, 12)]), Target::Latest, "is missing: recovery stops at");
    refused(&all, Target::RestorePoint("r".into()), "is not known without an identity");
    let none = inventory([]);
    assert_eq!(point(&none, Target::Latest).unwrap_err().kind(), Kind::NotFound);
    let denied = || Error::new(Kind::Denied, "HTTP 403");
    let unread = Inventory { wal: Part::CouldNotLook(denied()), ..instance(&[]) };
    assert_eq!(point(&unread, Target::Latest).unwrap_err().kind(), Kind::Denied, "not known is not missing");
    let mut unread = instance(&[(3, 12)]);
    set(&mut unread, "b2", Look::NotRead(denied()));
    assert_eq!(point(&unread, Target::Latest).unwrap_err().kind(), Kind::Denied);
    let mut lacks = instance(&[(3, 12)]);
    set(&mut lacks, "b1", Look::NotBelieved(Error::new(Kind::Signature, "it is not signed")));
    let e = point(&lacks, Target::Latest).unwrap_err();
    assert_eq!(e.kind(), Kind::Signature, "the second one needs the first");
    assert!(e.to_string().contains(id("b1").as_str()) || e.line().contains(id("b1").as_str()), "{e:?}");
}

/// Timeline 2 left 1 in segment 9, and both go on.
fn two_lives() -> StoredWal {
    let mut both = wal(&[(3, 12)]);
    let ranges = wal(&[(9, 13)]).windows.remove(0).ranges;
    both.windows.push(TimelineWindows { timeline: TimelineId(2), ranges, gaps: vec![], conflicts: vec![] });
    both.stored.push((TimelineId(2), Lsn(13 * SEGMENT), at(13)));
    let ancestor = Ancestor { timeline: TimelineId(1), until: Lsn(9 * SEGMENT + 100) };
    both.histories.push((TimelineId(2), vec![ancestor]));
    both.begun.push((TimelineId(2), at(10)));
    both
}

#[test]
fn where_a_person_or_an_identity_has_to_decide_no_plan_decides() {
    let mut all = instance(&[]);
    all.wal = Part::Found(two_lives());
    let differs = point(&all, Target::Latest).unwrap_err();
    assert!(differs.what().contains("differs between timelines 1 and 2"), "{differs:?}");
    assert!(differs.next_text().unwrap().contains("--timeline ID"), "{differs:?}");
    assert!(point(&all, Target::Time(at(9))).is_err(), "which commits come before the parting only WAL says");
    assert!(point(&all, Target::Lsn(Lsn(9 * SEGMENT))).is_ok(), "where both are the same");
    let asked = PointAsked { timeline: Some(TimelineId(1)), ..PointAsked::instance(Target::Latest) };
    let decided = PointPlan::new(&all, &asked, at(20)).unwrap();
    assert_eq!((decided.timeline, decided.wal_end), (Some(1), Some(Lsn(12 * SEGMENT))));
    let asked = PointAsked::instance(Target::Time(at(9)));
    let seen = Seen { is_before_parting: true, ..Seen::default() };
    assert!(Found::find(&all, &asked).unwrap().plan(&seen, at(20)).is_ok());
    let mut unknown = wal(&[(3, 12)]);
    unknown.unknown = vec![Unknown { timeline: TimelineId(5), histories: Vec::new() }];
    all.wal = Part::Found(unknown);
    let unknown = point(&all, Target::Latest).unwrap_err();
    assert!(unknown.what().contains("is not known without an identity"), "{unknown:?}");
    assert!(point(&all, Target::Immediate).is_ok());
}

#[test]
fn a_restore_point_that_was_seen_chooses_the_base_backup_before_it() {
    let all = instance(&[(3, 12)]);
    let asked = PointAsked::instance(Target::RestorePoint("r".into()));
    let at_segment = |segment: u64| {
        let mark = Mark { lsn: Lsn(segment * SEGMENT), time: at(6), restore_point: Some("r".into()) };
        let seen = Seen { restore_point: RestorePoint::At(mark), ..Seen::default() };
        Found::find(&all, &asked).unwrap().plan(&seen, at(20))
    };
    let before = at_segment(6).unwrap();
    assert_eq!((&before.snapshot, before.loss_seconds), (&id("b1"), Some(14 * 3_600)));
    assert_eq!(before.wal_bytes, 4 * SEGMENT - 40);
    assert_eq!(at_segment(10).unwrap().snapshot, id("b2"));
    assert!(at_segment(1).unwrap_err().causes().join("").contains("no base backup reaches that"));
}

fn tenant() -> Inventory {
    inventory([
        sized(dump("d1", "shop", 1, 1, Some("f1")), 1, 10),
        sized(dump("d2", "shop", 2, 2, Some("f2")), 2, 20),
        sized(dump("d3", "books", 3, 3, None), 3, 40),
        sized(filestore("f1", "shop", &["f1"], &["f1"]), 1, 100),
        sized(filestore("f2", "shop", &["f1", "f2"], &["f1", "f2"]), 2, 7),
    ])
}

fn of_dump(all: &Inventory, pick: Pick) -> Result<DumpPlan> {
    let tenant = "shop".parse().unwrap();
    DumpPlan::new(all, &DumpAsked { tenant, pick, database_only: false }, at(20))
}

#[test]
fn a_dump_is_planned_with_its_files_and_says_what_is_read() {
    let all = tenant();
    let newest = of_dump(&all, Pick::Latest).unwrap();
    assert_eq!((&newest.snapshot, newest.fetch_bytes), (&id("d2"), 127));
    let files = newest.files.as_ref().unwrap();
    let mut sources: Vec<SnapshotId> = files.sources.clone();
    sources.sort();
    assert_eq!((&files.snapshot, sources), (&id("f2"), vec![id("f1"), id("f2")]));
    assert_eq!((newest.loss_seconds, newest.warnings.len()), (18 * 3_600, 0), "{:?}", newest.warnings);
    assert_eq!(of_dump(&all, Pick::Snapshot(id("d1"))).unwrap().fetch_bytes, 110);
    let database_only = DumpAsked { database_only: true, ..DumpAsked::newest(&"shop".parse().unwrap()) };
    let alone = DumpPlan::new(&all, &database_only, at(20)).unwrap();
    assert_eq!((alone.files, alone.fetch_bytes), (None, 20));
    let books = DumpPlan::new(&all, &DumpAsked::newest(&"books".parse().unwrap()), at(20)).unwrap();
    assert!(books.warnings[0].contains("this dump has no filestore"), "{:?}", books.warnings);
    let text = Plan::Dump(newest).to_string();
    assert!(text.contains("fetches     at most 127 B"), "{text}");
}

#[test]
fn a_dump_is_refused_where_it_is_not_there_and_not_where_files_are_gone() {
    assert_eq!(of_dump(&inventory([]), Pick::Latest).unwrap_err().kind(), Kind::NotFound);
    let release = Pick::Release("7".parse().unwrap());
    assert!(of_dump(&tenant(), release).unwrap_err().what().contains("tied to release 7"));
    assert_eq!(of_dump(&tenant(), Pick::Snapshot(id("d3"))).unwrap_err().kind(), Kind::Usage, "of another");
    let forged = || Look::NotBelieved(Error::new(Kind::Signature, "it is not signed"));
    let denied = || Look::NotRead(Error::new(Kind::Denied, "HTTP 403"));
    let mut all = tenant();
    set(&mut all, "d2", forged());
    let older = of_dump(&all, Pick::Latest).unwrap();
    assert_eq!(older.snapshot, id("d1"));
    assert!(older.warnings[0].contains("which may be newer, was skipped: it is not signed"));
    set(&mut all, "d2", denied());
    assert_eq!(of_dump(&all, Pick::Latest).unwrap_err().kind(), Kind::Denied);
    for (gone, fetched, said) in [("f2", 20, "the list of"), ("f1", 20, "the list of")] {
        let mut all = tenant();
        set(&mut all, gone, forged());
        let plan = of_dump(&all, Pick::Latest).unwrap();
        assert_eq!(plan.fetch_bytes, fetched, "{gone}");
        assert!(plan.warnings[0].contains(said) && plan.warnings[0].contains(id(gone).as_str()), "{gone}");
        set(&mut all, gone, denied());
        assert_eq!(of_dump(&all, Pick::Latest).unwrap_err().kind(), Kind::Denied, "{gone}");
    }
    let mut all = inventory([
        sized(dump("d1", "shop", 1, 1, Some("f2")), 1, 10),
        sized(filestore("f1", "shop", &["f1"], &["f1"]), 1, 100),
        sized(filestore("f2", "shop", &["f2"], &["f1", "f2"]), 2, 7),
    ]);
    set(&mut all, "f1", forged());
    let plan = of_dump(&all, Pick::Latest).unwrap();
    assert_eq!((plan.fetch_bytes, plan.files.unwrap().sources), (17, vec![id("f2")]));
    assert!(plan.warnings[0].contains("it holds files of"), "{:?}", plan.warnings);
}
