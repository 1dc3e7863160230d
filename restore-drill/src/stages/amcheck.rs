//! Tables and indexes below SQL, where PostgreSQL's amcheck is installed.

use lifeboat::error::{Error, Kind, Result};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::stages::integrity::Integrity;

/// Looks at every b-tree index and every table with amcheck, where the server has it.
///
/// # Errors
/// [`Kind::Postgres`] where the server cannot be asked. What amcheck objects to is a finding.
pub async fn look(connection: &mut PgConnection, found: &mut Integrity) -> Result<()> {
    let failed = |e| Error::new(Kind::Postgres, "cannot run amcheck on the restored database").because(e);
    let offered = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')";
    let offered: bool = sqlx::query_scalar(offered).fetch_one(&mut *connection).await.map_err(failed)?;
    if !offered {
        found.amcheck_skipped = Some("extension amcheck is not installed on the drill host".to_owned());
        return Ok(());
    }
    // A schema of its own, so that nothing of the restored database stands in the way.
    let make = "CREATE SCHEMA IF NOT EXISTS restore_drill; \
                CREATE EXTENSION IF NOT EXISTS amcheck WITH SCHEMA restore_drill";
    sqlx::raw_sql(make).execute(&mut *connection).await.map_err(failed)?;
    let schema = "SELECT quote_ident(n.nspname) FROM pg_extension e \
                  JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
    let schema: String = sqlx::query_scalar(schema).fetch_one(&mut *connection).await.map_err(failed)?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;

    let list = "SELECT c.oid::int8, c.oid::regclass::text, c.relkind = 'i' FROM pg_class c \
                LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_am a ON a.oid = c.relam \
                WHERE c.relpersistence = 'p' AND (c.relkind IN ('r', 't', 'm') \
                OR (c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)) ORDER BY 1";
    let relations: Vec<(i64, String, bool)> =
        sqlx::query_as(list).fetch_all(&mut *connection).await.map_err(failed)?;
    for (oid, name, is_index) in relations {
        let sql = match is_index {
            true => format!("SELECT {schema}.bt_index_check({oid}::regclass, true)::text"),
            // verify_heapam came with version 14.
            false if version >= 140_000 => format!("SELECT msg FROM {schema}.verify_heapam({oid}::regclass)"),
            false => continue,
        };
        *(if is_index { &mut found.indexes } else { &mut found.tables }) += 1;
        let said: Result<Vec<Option<String>>, _> =
            sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *connection).await;
        let problems: Vec<String> = match said {
            Ok(rows) => rows.into_iter().flatten().filter(|text| !text.is_empty()).collect(),
            Err(sqlx::Error::Database(e)) => vec![e.to_string()],
            Err(e) => return Err(failed(e)),
        };
        for problem in problems {
            found.index_problems += 1;
            found.example(format!("{name}: {problem}"));
        }
    }
    Ok(())
}
