//! The runner of the checks on a small database: every way in which a check can end.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;

use std::time::Duration;

use lifeboat::disk;
use restore_drill::catalogue::run::{self, Outcome, Status};
use restore_drill::catalogue::{self, Catalogue};
use sqlx::{Connection, Executor};

fn check(id: &str, severity: &str, versions: &str, requires: &str, sql: &str) -> (String, String) {
    let text = format!(
        "-- id: {id}\n-- area: own\n-- severity: {severity}\n-- title: a rule of this test\n\
         -- versions: {versions}\n-- requires: {requires}\n-- reason: this test\n{sql}\n"
    );
    (format!("{id}.sql"), text)
}

fn own(files: &[(String, String)]) -> Catalogue {
    let dir = tempfile::tempdir().unwrap();
    disk::create_private_dir(&dir.path().join("own")).unwrap();
    for (name, text) in files {
        disk::write_new_durable(&dir.path().join("own").join(name), text.as_bytes()).unwrap();
    }
    let mut catalogue = catalogue::load(Some(dir.path())).unwrap();
    catalogue.checks.retain(|check| check.area == "own");
    catalogue
}

#[tokio::test]
async fn every_way_in_which_a_check_can_end() {
    let cluster = common::cluster().await;
    let room = cluster.scratch.room().clone();
    let mut connection = common::superuser(&room, "postgres").await;
    connection
        .execute(
            "CREATE TABLE t (id int, label text); INSERT INTO t SELECT n, 'row ' || lpad(n::text, 4, '0') \
             FROM generate_series(1, 1000) n; INSERT INTO t VALUES (2000, repeat('é', 500)), (2001, NULL); \
             CREATE TABLE ir_module_module (name varchar, latest_version varchar, state varchar); \
             INSERT INTO ir_module_module VALUES ('base', '17.0.1.3', 'installed');",
        )
        .await
        .unwrap();
    let files = [
        check("PASS1", "hard", "*", "t.label", "SELECT label FROM t WHERE id < 0;"),
        check("FAIL1", "hard", "=17", "t", "\n-- a comment\nSELECT label FROM t WHERE id <= 1000 -- all"),
        check("LONG1", "hard", "*", "t", "SELECT label FROM t WHERE id = 2000"),
        check("NULL1", "hard", "*", "t", "SELECT label FROM t WHERE id = 2001"),
        check("BASE1", "base", "*", "t", "SELECT 'x'"),
        check("INFO1", "info", "*", "t", "SELECT name FROM ir_module_module"),
        check("SKIP1", "hard", "*", "t.absent", "SELECT absent FROM t"),
        check("SKIP2", "hard", "*", "absent.id", "SELECT id::text FROM absent"),
        check("SKIP3", "hard", ">=18", "t", "SELECT 'x'"),
        check("SLOW1", "hard", "*", "t", "SELECT pg_sleep(30)::text"),
        check("TYPE1", "hard", "*", "t", "SELECT 1"),
        check("COLS1", "hard", "*", "t", "SELECT 'a', 'b'"),
        check("TWO_1", "hard", "*", "t", "SELECT 'a'; DROP TABLE t"),
        check(
            "WRITE",
            "hard",
            "*",
            "t",
            "WITH gone AS (DELETE FROM t RETURNING label) SELECT label FROM gone",
        ),
        check("WRONG", "hard", "*", "t", "SELECT nonsense FROM t"),
        check("ZLAST", "hard", "*", "t", "SELECT label FROM t WHERE id < 0"),
    ];
    let mut session = room.connect_superuser("postgres").await.unwrap();
    let outcomes = run::run(&mut session, &own(&files), Duration::from_secs(1)).await.unwrap();
    let of = |id: &str| -> &Outcome { outcomes.iter().find(|o| o.id == id).unwrap() };
    let said = |id: &str| of(id).message.clone().unwrap_or_default();

    for id in ["PASS1", "ZLAST"] {
        assert_eq!((of(id).status, of(id).violations), (Status::Passed, Some(0)), "{id}");
    }
    assert_eq!((of("FAIL1").status, of("FAIL1").violations), (Status::Failed, Some(1000)));
    assert_eq!(of("FAIL1").samples, ["row 0001", "row 0002", "row 0003"]);
    assert_eq!(of("LONG1").samples[0].chars().count(), 200);
    assert_eq!(of("NULL1").violations, Some(1));
    assert_eq!(of("TYPE1").samples, ["1"]);
    assert_eq!(of("BASE1").status, Status::Noted);
    assert_eq!(of("INFO1").status, Status::Noted);
    for (id, message) in [
        ("SKIP1", "column t.absent does not exist"),
        ("SKIP2", "table absent does not exist"),
        ("SKIP3", "for Odoo >=18; this is 17.0"),
    ] {
        assert_eq!((of(id).status, said(id).as_str()), (Status::Skipped, message));
    }
    for (id, message) in [
        ("SLOW1", "statement timeout"),
        ("COLS1", "several columns"),
        ("TWO_1", "syntax error"),
        ("WRITE", "data-modifying statement"),
        ("WRONG", "nonsense"),
    ] {
        assert_eq!(of(id).status, Status::Error, "{id}");
        assert!(said(id).contains(message), "{id}: {}", said(id));
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 1002);
    connection.close().await.unwrap();
    cluster.scratch.tear_down(false).await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_an_error_of_every_check_that_was_left() {
    let cluster = common::cluster().await;
    let mut connection = common::superuser(cluster.scratch.room(), "postgres").await;
    let end = "SELECT pg_terminate_backend(pg_backend_pid())::text";
    let files = [
        check("CUT01", "hard", "*", "pg_absent", "SELECT 'x'"),
        check("CUT02", "hard", "*", "one", end),
        check("CUT03", "hard", "*", "one", "SELECT 'x' WHERE false"),
    ];
    connection.execute("CREATE TABLE one ()").await.unwrap();
    let mut session = cluster.scratch.room().connect_superuser("postgres").await.unwrap();
    let outcomes = run::run(&mut session, &own(&files), Duration::from_secs(5)).await.unwrap();
    let status: Vec<Status> = outcomes.iter().map(|o| o.status).collect();
    assert_eq!(status, [Status::Skipped, Status::Error, Status::Error]);
    cluster.scratch.tear_down(false).await.unwrap();
}
