//! Targets that nothing comes behind, restore points by name, and the answers where there is no way.

use lifeboat::names::Lsn;
use lifeboat_tests::Outcome;
use lifeboat_tests::installed::available_majors;

use crate::archiving::{Archiving, DIGEST, truth, wait_until};
use crate::copy::Copied;

/// What a refusal proposes behind this flag.
fn proposed(outcome: &Outcome, flag: &str) -> String {
    let (_, rest) =
        outcome.stderr.split_once(&format!("{flag} ")).unwrap_or_else(|| panic!("{flag}: {outcome}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

fn restored_is(archiving: &Archiving, args: &[&str], ledger: &str) -> String {
    let copied = Copied::new();
    let done = archiving.restore_to(copied.data_dir(), args).arg("--start").run();
    assert!(done.code == Some(0), "{args:?}: {done}\n{}", copied.log());
    copied.started(&archiving.cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(copied.psql("shop", DIGEST), ledger, "{args:?}");
    done.stderr
}

#[test]
fn restore_points_and_times_at_the_edges_on_every_major() {
    for major in available_majors() {
        println!("PostgreSQL {major}");
        edges(major);
    }
}

fn edges(major: u32) {
    let archiving = Archiving::start(Some(major));
    let cluster = &archiving.cluster;
    let early = truth(cluster);
    archiving.base();
    let name = |name: &str| cluster.psql("postgres", &format!("select pg_create_restore_point('{name}')"));
    let first = archiving.step();
    name("release 7");
    let second = archiving.step();
    cluster.psql("shop", "begin; insert into ledger (filler) values ('open'); select pg_create_restore_point('inside'); commit");
    archiving.step();
    name("release 7");
    let last = archiving.step();
    let at = "select to_char(pg_xact_commit_timestamp(xmin) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from ledger where n = (select max(n) from ledger)";
    let commit = cluster.psql("shop", at);
    let after = truth(cluster);
    std::thread::sleep(std::time::Duration::from_millis(1100)); // files know the second
    archiving.archive();

    let said = restored_is(&archiving, &["--to-restore-point", "release 7"], &first.ledger);
    assert!(said.contains("2 restore points are called release 7") && said.contains("made at"), "{said}");
    restored_is(&archiving, &["--to-restore-point", "inside"], &second.ledger);
    // nothing comes after it: PostgreSQL alone would die of it
    let said = restored_is(&archiving, &["--to-time", &after.time], &last.ledger);
    assert!(
        said.contains(&format!(
            "the stored WAL has no commit after {}",
            commit.trim_end_matches('Z').trim_end_matches('0')
        )),
        "{commit}: {said}"
    );
    restored_is(&archiving, &["--to-time", &commit], &last.ledger);

    let copied = Copied::new();
    let refused = |args: &[&str]| archiving.restore_to(copied.data_dir(), args).run().exits(16);
    let nope = refused(&["--to-restore-point", "release 8"]);
    assert!(
        nope.stderr.contains("the stored WAL has these: release 7 (2") && nope.stderr.contains("inside ("),
        "{nope}"
    );
    let late = refused(&["--to-time", "2100-01-01T00:00:00Z"]);
    assert!(
        proposed(&late, "--to-time")
            .trim_end_matches('Z')
            .starts_with(commit.trim_end_matches('Z').trim_end_matches('0')),
        "{commit}: {late}"
    );
    // the command that was typed, but for the target and the answer to its question
    let again = format!(
        "lifeboat restore --json --identity lifeboat-identity.txt --instance-to {} --to-time",
        copied.data_dir().display()
    );
    assert!(late.stderr.contains(&again), "{late}");
    let soon = refused(&["--to-time", &early.time]);
    let soonest = proposed(&soon, "--to-time");
    assert!(soonest > early.time && soonest < first.time, "{soon}");
    archiving.restore_to(copied.data_dir(), &["--to-time", &soonest, "--dry-run"]).run().ok();
    let low = refused(&["--to-lsn", &early.lsn]);
    archiving
        .restore_to(copied.data_dir(), &["--to-lsn", &proposed(&low, "--to-lsn"), "--dry-run"])
        .run()
        .ok();
    assert!(!copied.data_dir().exists());
}

#[test]
fn a_position_behind_the_last_record_is_the_end() {
    let archiving = Archiving::start(None);
    archiving.base();
    let last = archiving.step();
    archiving.archive();
    // in the zeros that fill the segment up
    let beyond = Lsn(last.lsn.parse::<Lsn>().unwrap().0 + 100_000).to_string();
    let said = restored_is(&archiving, &["--to-lsn", &beyond], &last.ledger);
    assert!(said.contains("the last stored record begins at"), "{said}");
}

#[test]
fn nothing_at_all_behind_the_base_backup_is_the_base_backup() {
    let archiving = Archiving::start(None);
    let before = archiving.step();
    archiving.base();
    archiving.cluster.psql("postgres", "select pg_switch_wal()");
    archiving.cluster.psql("postgres", "select pg_create_restore_point('so that there is WAL')");
    archiving.archive();
    wait_until("a moment has passed", || truth(&archiving.cluster).time > before.time);
    let copied = Copied::new();
    let late =
        archiving.restore_to(copied.data_dir(), &["--to-time", "2100-01-01T00:00:00Z"]).run().exits(16);
    assert!(late.stderr.contains("--to immediate") || late.stderr.contains("--to-time"), "{late}");
    restored_is(&archiving, &["--to-restore-point", "so that there is WAL"], &before.ledger);
}

#[test]
fn a_release_is_the_base_backup_that_was_made_for_it() {
    let archiving = Archiving::start(None);
    archiving.base_of("7");
    let before = archiving.step();
    let of_8 = archiving.base_of("8");
    let after = archiving.step();
    archiving.base();
    archiving.archive();
    let copied = Copied::new();
    let unknown = archiving.restore_to(copied.data_dir(), &["--release", "9"]).run();
    assert!(unknown.code != Some(0) && unknown.stderr.contains("is tied to release 9"), "{unknown}");
    let (copied, report) = archiving.started(&["--release", "8"]);
    assert_eq!(report["restored"]["plan"]["snapshot"], of_8["id"]);
    assert_eq!(copied.psql("shop", DIGEST), before.ledger, "as it was, and nothing since");
    restored_is(&archiving, &["--release", "7", "--to", "latest"], &after.ledger);
}
