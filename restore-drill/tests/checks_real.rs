//! The catalogue on real Odoo databases: nothing is found in a healthy one, and every hard check
//! finds its damage. Needs dumps of Odoo 17 with sales, stock, purchase, accounting and point of
//! sale; see `TEST_ODOO_TENANTS` in `common`.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;

use std::path::Path;
use std::time::Duration;

use restore_drill::catalogue::check::{Check, Severity};
use restore_drill::catalogue::run::{self, Outcome, Status};
use restore_drill::catalogue::{self, Catalogue};
use restore_drill::place::PORT;
use restore_drill::process;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

async fn load(cluster: &common::Cluster, dump: &Path, name: &str) {
    let room = cluster.scratch.room();
    let mut admin = common::superuser(room, "postgres").await;
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C'");
    admin.execute(AssertSqlSafe(create)).await.unwrap();
    let mut restore = Command::new(cluster.bin_dir.join("pg_restore"));
    restore.args(["--no-owner", "--exit-on-error", "-U", "postgres", "-d", name]).arg("-h");
    restore.arg(&room.socket_dir).args(["-p", &PORT.to_string()]).arg(dump);
    let ended = process::run(&mut restore, Duration::from_secs(300)).await.unwrap();
    assert!(ended.is_success(), "{}", ended.last_words());
}

/// The check that these tenants skip.
fn of_18(id: &str) -> bool {
    id == "ACC16"
}

fn of<'a>(outcomes: &'a [Outcome], id: &str) -> &'a Outcome {
    outcomes.iter().find(|outcome| outcome.id == id).unwrap()
}

#[tokio::test]
async fn healthy_tenants_have_no_hard_violation_and_damage_is_found() {
    let dumps = common::real_dumps();
    if dumps.is_empty() {
        common::skip(module_path!(), "TEST_ODOO_TENANTS names no directory with real dumps");
        return;
    }
    let catalogue = catalogue::load(None).unwrap();
    let cluster = common::cluster().await;
    for (at, dump) in dumps.iter().enumerate() {
        load(&cluster, dump, &format!("t{at}")).await;
        let mut session = cluster.scratch.room().connect_superuser(&format!("t{at}")).await.unwrap();
        let outcomes = run::run(&mut session, &catalogue, LIMIT).await.unwrap();
        for outcome in &outcomes {
            let fine = match outcome.severity {
                Severity::Hard => outcome.status == Status::Passed,
                Severity::Base | Severity::Info => {
                    matches!(outcome.status, Status::Passed | Status::Noted)
                }
            };
            assert!(fine || of_18(&outcome.id), "{}: {outcome:?}", dump.display());
        }
        let noted = outcomes.iter().filter(|o| o.status == Status::Noted);
        let noted: Vec<String> = noted.map(|o| format!("{}={}", o.id, o.violations.unwrap())).collect();
        println!("{}: noted {}", dump.display(), noted.join(" "));
        requirements_are_complete(&cluster, &format!("t{at}"), &catalogue).await;
        each_damage_fires(&cluster, &format!("t{at}"), &catalogue).await;
    }

    // The same through the runner, several damages at once and committed.
    let room = cluster.scratch.room();
    let mut breaker = common::superuser(room, "t0").await;
    breaker.execute("SET session_replication_role = replica").await.unwrap();
    let broken = [
        "ACC02", "ACC05", "ACC15", "SAL03", "PUR03", "STK08", "POS08", "ATT04", "SEQ02", "SEQ05", "REF03",
        "REF05", "MOD03", "CFG01",
    ];
    for (id, sql) in damages().into_iter().filter(|(id, _)| broken.contains(&id.as_str())) {
        breaker.execute(AssertSqlSafe(sql)).await.unwrap_or_else(|e| panic!("{id}: {e}"));
    }
    let mut session = room.connect_superuser("t0").await.unwrap();
    let outcomes = run::run(&mut session, &catalogue, LIMIT).await.unwrap();
    for id in broken {
        let outcome = of(&outcomes, id);
        assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
        assert!(!outcome.samples.is_empty(), "{outcome:?}");
    }
    cluster.scratch.tear_down(false).await.unwrap();
}

/// Pairs of check id and the statements that it must notice.
fn damages() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in include_str!("damage.sql").lines() {
        match line.strip_prefix("-- ") {
            Some(id) if id.len() == 5 && !id.contains(' ') => found.push((id.to_owned(), String::new())),
            _ => {
                if let Some((_, sql)) = found.last_mut() {
                    sql.push_str(line);
                    sql.push('\n');
                }
            }
        }
    }
    found
}

/// Damages one thing in a transaction, looks with the check that is to notice it, and rolls back. Every hard
/// check is tried, and every other that `damage.sql` names.
async fn each_damage_fires(cluster: &common::Cluster, database: &str, catalogue: &Catalogue) {
    let mut connection = common::superuser(cluster.scratch.room(), database).await;
    for prelude in &catalogue.preludes {
        connection.execute(AssertSqlSafe(prelude.as_str())).await.unwrap();
    }
    let damages = damages();
    for check in catalogue.checks.iter().filter(|c| c.severity == Severity::Hard) {
        assert!(damages.iter().any(|(id, _)| *id == check.id), "{} is not tried", check.id);
    }
    for (id, damage) in damages.iter().filter(|(id, _)| !of_18(id)) {
        let check = catalogue.checks.iter().find(|check| check.id == *id).unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let before = count(&mut transaction, check).await;
        assert!(before == 0 || check.severity != Severity::Hard, "{id} before: {before}");
        transaction.execute("SET LOCAL session_replication_role = replica").await.unwrap();
        transaction.execute(AssertSqlSafe(damage.as_str())).await.unwrap_or_else(|e| panic!("{id}: {e}"));
        assert!(count(&mut transaction, check).await > before, "{id} does not notice: {damage}");
        transaction.rollback().await.unwrap();
    }
}

async fn count(connection: &mut PgConnection, check: &Check) -> i64 {
    let sql = format!("SELECT count(*) FROM (\n{}\n) q", check.sql);
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

/// Asks PostgreSQL which columns each statement uses and compares with its `requires`: a check on
/// another Odoo series must be skipped by name there, not fail with an error.
async fn requirements_are_complete(cluster: &common::Cluster, database: &str, catalogue: &Catalogue) {
    let mut connection = common::superuser(cluster.scratch.room(), database).await;
    for prelude in &catalogue.preludes {
        connection.execute(AssertSqlSafe(prelude.as_str())).await.unwrap();
    }
    for check in catalogue.checks.iter().filter(|check| !of_18(&check.id)) {
        let mut transaction = connection.begin().await.unwrap();
        let view = format!("CREATE TEMP VIEW used AS {}", check.sql);
        transaction.execute(AssertSqlSafe(view)).await.unwrap();
        let used: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT c.relname || coalesce('.' || a.attname, '') FROM pg_rewrite r \
             JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
             AND d.refclassid = 'pg_class'::regclass \
             JOIN pg_class c ON c.oid = d.refobjid AND c.relnamespace = 'public'::regnamespace \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0 \
             WHERE r.ev_class = 'used'::regclass",
        )
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        transaction.rollback().await.unwrap();
        for name in used {
            let (table, column) = name.split_once('.').unwrap_or((&name, "id"));
            let named = check.requires.iter().any(|needed| match &needed.column {
                Some(named) => needed.table == table && (column == "id" || named == column),
                None => needed.table == table && column == "id",
            });
            assert!(named, "{} uses {name}, which its requires do not name", check.id);
        }
    }
}
