//! What replay needs was raised in production after the base backup: recovery finds it in the WAL, and goes
//! on. A server that pauses for it is not where it was to go.

use lifeboat_tests::installed::available_majors;

use crate::archiving::{Archiving, DIGEST, truth};

#[test]
fn settings_that_were_raised_meanwhile_are_raised_in_recovery_on_every_major() {
    for major in available_majors() {
        println!("PostgreSQL {major}");
        raised(major);
    }
}

fn raised(major: u32) {
    let archiving = Archiving::start(Some(major));
    let cluster = &archiving.cluster;
    archiving.base();
    let before = archiving.step();
    // twice, and not the same ones
    cluster.psql("postgres", "alter system set max_connections = 120");
    cluster.restart();
    archiving.step();
    for setting in
        ["max_connections = 140", "max_prepared_transactions = 7", "max_locks_per_transaction = 99"]
    {
        cluster.psql("postgres", &format!("alter system set {setting}"));
    }
    cluster.restart();
    let after = archiving.step();
    archiving.step();
    archiving.archive();

    for (args, ledger) in [
        (&["--to-lsn", &after.lsn, "--target-action", "pause"][..], &after.ledger),
        (&["--to-time", &after.time, "--target-action", "pause"], &after.ledger),
        (&["--to-time", &after.time], &after.ledger),
        (&["--to-time", &before.time], &before.ledger),
    ] {
        let (copied, report) = archiving.started(args);
        assert_eq!(copied.psql("shop", DIGEST), *ledger, "{args:?}");
        let said = report["started"]["raised"].to_string();
        let was_raised = said.contains("max_connections to 120") && said.contains("max_connections to 140");
        assert_eq!(was_raised, ledger == &after.ledger, "{args:?}: {said}");
        assert_eq!(report["started"]["writable"], !args.contains(&"pause"), "{report}");
        if args.contains(&"pause") {
            copied.psql("postgres", "select pg_wal_replay_resume()");
        }
    }
    let last = truth(cluster);
    let (copied, _) = archiving.started(&[]);
    assert_eq!(copied.psql("shop", DIGEST), last.ledger);
    assert_eq!(copied.psql("postgres", "show max_locks_per_transaction"), "99");
}

#[test]
fn what_pg_control_says_is_where_we_read_it_on_every_major() {
    for major in available_majors() {
        let archiving = Archiving::start(Some(major));
        let cluster = &archiving.cluster;
        for (name, value) in [
            ("max_connections", 61),
            ("max_worker_processes", 9),
            ("max_wal_senders", 11),
            ("max_prepared_transactions", 3),
            ("max_locks_per_transaction", 65),
        ] {
            cluster.psql("postgres", &format!("alter system set {name} = {value}"));
        }
        cluster.restart();
        let bytes = std::fs::read(cluster.data_dir().join("global/pg_control")).unwrap();
        let control = lifeboat::postgres::control::parse(&bytes).unwrap();
        assert_eq!(control.needs.map(|(_, value)| value), [61, 9, 11, 3, 65], "PostgreSQL {major}");
        assert!(!control.is_recovering);
    }
}
