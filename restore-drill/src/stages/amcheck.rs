//! Checks tables and indexes below SQL, if PostgreSQL's amcheck is installed. The superuser creates the
//! extension, in a schema that nobody could have created before. Its functions run as the tenant's owner,
//! because checking an index evaluates expressions that the owner wrote.

use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::random_hex;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::stages::integrity::Integrity;
use crate::stages::scratch::{OWNER, Place};

/// Checks every B-tree index and every table with amcheck, if the server has it.
///
/// # Errors
/// [`Kind::Postgres`] if the server does not answer. What amcheck reports is a finding.
pub async fn look(place: &Place, database: &str, found: &mut Integrity) -> Result<()> {
    let failed = |e| Error::new(Kind::Postgres, "cannot run amcheck on the restored database").because(e);
    let mut superuser = place.connect_superuser(database).await?;
    let schema = make(&mut superuser).await.map_err(failed)?;
    superuser.close().await.map_err(failed)?;
    let Some(schema) = schema else {
        found.amcheck_skipped = Some("extension amcheck is not installed on the drill host".to_owned());
        return Ok(());
    };
    let mut connection = place.connect(database).await?;
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;

    let list = "SELECT c.oid::int8, c.oid::regclass::text, c.relkind = 'i' FROM pg_class c \
                LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_am a ON a.oid = c.relam \
                WHERE c.relpersistence = 'p' AND (c.relkind IN ('r', 't', 'm') \
                OR (c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)) ORDER BY 1";
    let relations: Vec<(i64, String, bool)> =
        sqlx::query_as(list).fetch_all(&mut connection).await.map_err(failed)?;
    for (oid, name, is_index) in relations {
        let sql = match is_index {
            true => format!("SELECT {schema}.bt_index_check({oid}::regclass, true)::text"),
            // verify_heapam exists since version 14.
            false if version >= 140_000 => format!("SELECT msg FROM {schema}.verify_heapam({oid}::regclass)"),
            false => continue,
        };
        *(if is_index { &mut found.indexes } else { &mut found.tables }) += 1;
        let said: Result<Vec<Option<String>>, _> =
            sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut connection).await;
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

/// Creates the extension and lets the tenant's owner use it; returns its schema, quoted. `None` if the
/// server does not have it.
async fn make(superuser: &mut PgConnection) -> sqlx::Result<Option<String>> {
    let offered = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')";
    if !sqlx::query_scalar::<_, bool>(offered).fetch_one(&mut *superuser).await? {
        return Ok(None);
    }
    let new = format!("restore_drill_{}", random_hex(8));
    let sql = format!("CREATE SCHEMA {new}; CREATE EXTENSION IF NOT EXISTS amcheck WITH SCHEMA {new}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *superuser).await?;
    let schema = "SELECT quote_ident(n.nspname) FROM pg_extension e \
                  JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
    let schema: String = sqlx::query_scalar(schema).fetch_one(&mut *superuser).await?;
    let functions = "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid \
                     JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_proc'::regclass \
                     AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'amcheck'";
    let functions: Vec<String> = sqlx::query_scalar(functions).fetch_all(&mut *superuser).await?;
    let functions = functions.join(", ");
    let sql = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {OWNER}; GRANT EXECUTE ON FUNCTION {functions} TO {OWNER}"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *superuser).await?;
    Ok(Some(schema))
}
