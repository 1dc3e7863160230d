//! The tables and columns of a restored database, to decide which checks apply to it.

use std::collections::BTreeSet;

use lifeboat::error::Result;
use lifeboat::postgres::Session;
use lifeboat::postgres::session::column;

use super::check::Check;
use super::series::Series;

const WHAT: &str = "read the tables of the restored database";

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
    /// `Postgres` if the database cannot be read.
    pub async fn read(session: &mut Session) -> Result<Schema> {
        let series = series(session).await?;
        let sql = "SELECT c.relname::text, a.attname::text FROM pg_class c \
                   LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
        let mut schema = Schema { series, tables: BTreeSet::new(), columns: BTreeSet::new() };
        let each = |row| {
            let (table, name): (String, Option<String>) = (column(&row, 0)?, column(&row, 1)?);
            if let Some(name) = name {
                schema.columns.insert((table.clone(), name));
            }
            schema.tables.insert(table);
            Ok(())
        };
        session.each(WHAT, sql, each).await?;
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
/// `Postgres` if the database cannot be read.
async fn series(session: &mut Session) -> Result<Option<Series>> {
    let there = session.row(WHAT, "SELECT to_regclass('public.ir_module_module') IS NOT NULL").await?;
    if !column::<bool>(&there, 0)? {
        return Ok(None);
    }
    let sql = "SELECT max(latest_version)::text FROM public.ir_module_module WHERE name = 'base'";
    let version: Option<String> = column(&session.row(WHAT, sql).await?, 0)?;
    Ok(version.as_deref().and_then(Series::of_version))
}
