//! The tables and columns of a restored database, to decide which checks apply to it.

use std::collections::BTreeSet;

use lifeboat::error::{Error, Kind, Result};
use sqlx::PgConnection;

use crate::check::Check;
use crate::series::Series;

/// The tables and columns that exist.
pub struct Schema {
    series: Option<Series>,
    tables: BTreeSet<String>,
    columns: BTreeSet<(String, String)>,
}

impl Schema {
    /// Reads it.
    ///
    /// # Errors
    /// [`Kind::Postgres`] if the database cannot be read.
    pub async fn read(connection: &mut PgConnection) -> Result<Schema> {
        let series = series(connection).await?;
        let rows = sqlx::query_as::<_, (String, Option<String>)>(
            "SELECT c.relname::text, a.attname::text FROM pg_class c \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        )
        .fetch_all(connection)
        .await
        .map_err(|e| failed("list the tables of the restored database", e))?;
        let mut schema = Schema { series, tables: BTreeSet::new(), columns: BTreeSet::new() };
        for (table, column) in rows {
            if let Some(column) = column {
                schema.columns.insert((table.clone(), column));
            }
            schema.tables.insert(table);
        }
        Ok(schema)
    }

    /// Why a check does not apply here; `None` if it does.
    pub fn reason_to_skip(&self, check: &Check) -> Option<String> {
        match self.series {
            _ if check.versions.all() => {}
            None => {
                return Some(format!("for Odoo {}; the series of this database is unknown", check.versions));
            }
            Some(series) if !check.versions.include(series) => {
                return Some(format!("for Odoo {}; this is {series}", check.versions));
            }
            Some(_) => {}
        }
        let missing = check.requires.iter().find(|needed| match &needed.column {
            Some(column) => !self.columns.contains(&(needed.table.clone(), column.clone())),
            None => !self.tables.contains(&needed.table),
        })?;
        let table_is_there = self.tables.contains(&missing.table);
        Some(match &missing.column {
            Some(column) if table_is_there => format!("column {}.{column} does not exist", missing.table),
            _ => format!("table {} does not exist", missing.table),
        })
    }
}

/// The Odoo series of this database, from the version of module `base`; `None` if it is unknown.
///
/// # Errors
/// [`Kind::Postgres`] if the database cannot be read.
async fn series(connection: &mut PgConnection) -> Result<Option<Series>> {
    let there: bool = ask(connection, "SELECT to_regclass('public.ir_module_module') IS NOT NULL").await?;
    if !there {
        return Ok(None);
    }
    let sql = "SELECT max(latest_version)::text FROM public.ir_module_module WHERE name = 'base'";
    let version: Option<String> = ask(connection, sql).await?;
    Ok(version.as_deref().and_then(Series::of_version))
}

async fn ask<T>(connection: &mut PgConnection, sql: &'static str) -> Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(|e| failed("read the restored database", e))
}

fn failed(verb: &str, source: sqlx::Error) -> Error {
    Error::new(Kind::Postgres, format!("cannot {verb}")).because(source)
}
