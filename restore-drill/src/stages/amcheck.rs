//! Checks tables and indexes below SQL, if PostgreSQL's amcheck is installed. The superuser creates the
//! extension, in a schema that nobody could have created before. Its functions run as the tenant's owner,
//! because checking an index evaluates expressions that the owner wrote.

use lifeboat::error::{Kind, Result};
use lifeboat::names::random_hex;
use lifeboat::postgres::Session;
use lifeboat::postgres::quote::ident;
use lifeboat::postgres::safe_settings::TABLE_WAIT;
use lifeboat::postgres::session::column;

use crate::place::Room;
use crate::report::integrity::Integrity;

const WHAT: &str = "run amcheck on the restored database";

/// Checks every B-tree index and every table with amcheck, if the server has it.
///
/// # Errors
/// [`Kind::Postgres`] if the server does not answer. What amcheck reports is a finding.
pub async fn look(room: &Room, database: &str, found: &mut Integrity) -> Result<()> {
    let mut superuser = room.connect_superuser(database).await?;
    let schema = make(&mut superuser, &ident(&room.owner)).await?;
    superuser.close().await;
    let Some(schema) = schema else {
        found.amcheck_skipped = Some("extension amcheck is not installed on the drill host".to_owned());
        return Ok(());
    };
    let mut session = room.connect(database).await?;
    session.allow(TABLE_WAIT).await?;
    let version = session.version_num();
    let list = "SELECT c.oid::int8, c.oid::regclass::text, c.relkind = 'i' FROM pg_class c \
                LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_am a ON a.oid = c.relam \
                WHERE c.relpersistence = 'p' AND (c.relkind IN ('r', 't', 'm') \
                OR (c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready)) ORDER BY 1";
    for row in session.rows(WHAT, list).await? {
        let (oid, name, is_index): (i64, String, bool) =
            (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        let sql = match is_index {
            true => format!("SELECT {schema}.bt_index_check({oid}::regclass, true)::text"),
            // verify_heapam exists since version 14.
            false if version >= 140_000 => format!("SELECT msg FROM {schema}.verify_heapam({oid}::regclass)"),
            false => continue,
        };
        *(if is_index { &mut found.indexes } else { &mut found.tables }) += 1;
        let problems: Vec<String> = match session.rows(WHAT, sql).await {
            Ok(rows) => rows.iter().map(|row| column(row, 0)).collect::<Result<_>>()?,
            Err(e) if e.kind() == Kind::Postgres && session.is_usable() => vec![e.causes().join(": ")],
            Err(e) => return Err(e),
        };
        for problem in problems.into_iter().filter(|problem| !problem.is_empty()) {
            found.index_problems += 1;
            found.example(format!("{name}: {problem}"));
        }
    }
    session.close().await;
    Ok(())
}

/// Creates the extension and lets the tenant's owner use it; returns its schema, quoted. `None` if the
/// server does not have it.
async fn make(superuser: &mut Session, owner: &str) -> Result<Option<String>> {
    let offered = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')";
    if !column::<bool>(&superuser.row(WHAT, offered).await?, 0)? {
        return Ok(None);
    }
    let new = format!("restore_drill_{}", random_hex(8));
    let sql = format!("CREATE SCHEMA {new}; CREATE EXTENSION IF NOT EXISTS amcheck WITH SCHEMA {new}");
    superuser.execute(WHAT, sql).await?;
    let schema = "SELECT quote_ident(n.nspname) FROM pg_extension e \
                  JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'";
    let schema: String = column(&superuser.row(WHAT, schema).await?, 0)?;
    let functions = "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid \
                     JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_proc'::regclass \
                     AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'amcheck'";
    let functions = superuser.rows(WHAT, functions).await?;
    let functions = functions.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>>>()?.join(", ");
    let sql = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {owner}; GRANT EXECUTE ON FUNCTION {functions} TO {owner}"
    );
    superuser.execute(WHAT, sql).await?;
    Ok(Some(schema))
}
