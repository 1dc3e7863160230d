//! A copy that archives into the instance of its original, beside it; and WAL that is missing where timelines
//! part.

use crate::archiving::{Archiving, wait_until};
use crate::copy::Copied;
use crate::timelines::{archive, promoted_standby, restored_is, run_push, start, step};

/// A copy of what is stored up to `target`, which archives as production does.
fn archiving_copy(archiving: &Archiving, target: &[&str]) -> Copied {
    let copied = Copied::new();
    archiving.restore_to(copied.data_dir(), target).arg("--keep-archiving").run().ok();
    start(archiving, &copied);
    wait_until("it is open", || copied.psql("postgres", "select pg_is_in_recovery()") == "f");
    copied
}

/// Stores what there is of the segment that production is writing.
fn push_current(archiving: &Archiving) {
    archiving.cluster.psql("postgres", "checkpoint"); // all of it is in the file
    let name = archiving.cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    run_push(archiving, &archiving.cluster.data_dir().join("pg_wal").join(name));
}

#[test]
fn between_production_and_a_copy_that_archives_a_person_chooses() {
    let archiving = Archiving::start(None);
    archiving.base();
    let one = archiving.step();
    archiving.step();
    archiving.archive();
    let copy = archiving_copy(&archiving, &["--to", "latest"]);
    let there = step(&copy);
    archive(&copy);
    // production goes on, in the segment in which the copy left it
    let here = archiving.step();
    push_current(&archiving);

    let unused = Copied::new();
    let plan = |args: &[&str]| archiving.restore_to(unused.data_dir(), args).arg("--dry-run").run();
    for args in [&["--to", "latest"][..], &["--to-time", &here.time], &["--to-lsn", &here.lsn]] {
        let refused = plan(args).exits(16);
        for said in [
            "differs between timelines 1 and 2",
            "timeline 1 is stored up to",
            "timeline 2, which left 1 at",
            "name its timeline: --timeline ID (the newest, 2, may be a copy)",
        ] {
            assert!(refused.stderr.contains(said), "{said}: {refused}");
        }
    }
    // where both are still the same there is no question
    plan(&["--to-lsn", &one.lsn]).ok();
    plan(&["--to-time", &one.time]).ok();
    let told = archiving.site.run(&["wal", "status", "--offline"]).run().exits(3);
    assert!(told.stdout.contains("problem: more than one server stores WAL as this instance"), "{told}");
    let told = archiving.site.run(&["status"]).run().exits(3);
    assert!(told.stdout.contains("differs between timelines 1 and 2"), "{told}");
    let told = archiving.site.run(&["doctor"]).run().exits(3);
    assert!(told.stdout.contains("more than one server stores WAL as this instance"), "{told}");
    restored_is(&archiving, &["--timeline", "00000001"], &here.ledger);
    restored_is(&archiving, &["--timeline", "00000002"], &there.ledger);

    // the copy ends, and production has a base backup after that
    copy.stop();
    archiving.archive();
    archiving.base();
    let last = archiving.step();
    archiving.archive();
    assert_eq!(restored_is(&archiving, &["--to", "latest"], &last.ledger)["timeline"], 1);
    let told = archiving.site.run(&["wal", "status", "--offline"]).run().ok();
    assert!(!told.stdout.contains("more than one server"), "{told}");
}

#[test]
fn what_a_promotion_loses_is_said_and_does_not_ask() {
    let archiving = Archiving::start(None);
    archiving.base();
    let one = archiving.step();
    archiving.archive();
    // stored before anybody else began, and lost with the server
    archiving.step();
    archiving.archive();
    archiving.cluster.stop();
    let next = archiving_copy(&archiving, &["--to-lsn", &one.lsn]);
    let there = step(&next);
    archive(&next);
    let plan = archiving.restore_to(Copied::new().data_dir(), &["--dry-run"]).run().ok();
    assert!(plan.stdout.contains("this restore leaves timeline 1 at"), "{plan}");
    next.stop();
    restored_is(&archiving, &[], &there.ledger);
    let told = archiving.site.run(&["wal", "status", "--offline"]).run().ok();
    assert!(!told.stdout.contains("more than one server"), "{told}");
}

#[test]
fn wal_that_is_missing_where_timelines_part_is_told_by_everybody() {
    let archiving = Archiving::start(None);
    archiving.base();
    let one = archiving.step();
    archiving.archive();
    archiving.step();
    let lost = archiving.cluster.psql("postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())");
    archiving.archive();
    let standby = promoted_standby(&archiving);
    step(&standby);
    archive(&standby);
    standby.stop();
    archiving.site.run(&["status"]).run().ok();
    let told = archiving.site.run(&["verify", "--no-progress"]).run().ok();
    assert!(!told.stdout.contains(": WAL from"), "{told}");
    for entry in std::fs::read_dir(archiving.site.path("repo/instances/prod/wal/00000001")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap() >= lost.as_str() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let unused = Copied::new();
    let plan = |args: &[&str]| archiving.restore_to(unused.data_dir(), args).arg("--dry-run").run();
    plan(&["--to", "latest"]).exits(16).says("is missing: recovery stops at");
    assert!(plan(&["--to-lsn", &one.lsn]).ok().stdout.contains("is missing: recovery stops at"));
    let told = archiving.site.run(&["wal", "status", "--offline"]).run().exits(3);
    assert!(told.stdout.contains("(timeline 2 left 1 at"), "{told}");
    let told = archiving.site.run(&["status"]).run().exits(3);
    assert!(told.stdout.contains("is missing: recovery stops at"), "{told}");
    let told = archiving.site.run(&["verify", "--no-progress"]).run().exits(3);
    assert!(told.stdout.contains("problem: WAL from"), "{told}");
}
