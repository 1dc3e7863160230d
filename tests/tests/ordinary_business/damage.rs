//! The damages of restore-drill/tests/damage.sql, done to the tenant of a test and taken back.

use restore_drill::catalogue::run::{Outcome, Status};
use restore_drill::catalogue::{self, Catalogue};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Pairs of the check that must notice and the statements.
fn damages() -> Vec<(&'static str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in include_str!("../../../restore-drill/tests/damage.sql").lines() {
        match line.strip_prefix("-- ").filter(|id| id.len() == 5 && !id.contains(' ')) {
            Some(id) => found.push((id, String::new())),
            None => found.iter_mut().last().into_iter().for_each(|(_, sql)| *sql += &format!("{line}\n")),
        }
    }
    found
}

/// The damages that their checks do not notice, but for checks that were skipped.
pub async fn unnoticed(connection: &mut PgConnection, outcomes: &[Outcome]) -> Vec<String> {
    let Catalogue { checks, preludes } = catalogue::load(None).unwrap();
    connection.execute("set search_path = public").await.unwrap();
    for prelude in &preludes {
        connection.execute(AssertSqlSafe(prelude.as_str())).await.unwrap();
    }
    let mut unnoticed = Vec::new();
    for (id, damage) in damages() {
        let check = checks.iter().find(|check| check.id == id).unwrap();
        if outcomes.iter().any(|one| one.id == id && one.status == Status::Skipped) {
            continue;
        }
        let count = format!("select count(*) from ({}) q", check.sql);
        let mut transaction = connection.begin().await.unwrap();
        let before = number(&mut transaction, &count).await;
        transaction.execute("set local session_replication_role = replica").await.unwrap();
        transaction.execute(AssertSqlSafe(damage.as_str())).await.unwrap_or_else(|e| panic!("{id}: {e}"));
        if number(&mut transaction, &count).await <= before {
            unnoticed.push(format!("{id}: {damage}"));
        }
        transaction.rollback().await.unwrap();
    }
    unnoticed
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}
