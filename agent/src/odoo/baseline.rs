//! What a tenant held at the point of its dump, in numbers: so that a loss can be seen later.

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::odoo::tenants::odoo_version;
use crate::postgres::database::{DatabaseProperties, properties, roles_in_use};
use crate::postgres::quote::qualified;
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Session, column};

/// Largest baseline that is read.
const BYTES_MAX: u64 = 256 << 20;

/// The state of one tenant at one snapshot. All lists are sorted by name, in byte order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The version of module `base`.
    pub odoo_version: Option<String>,
    /// Odoo's `database.uuid`.
    pub database_uuid: Option<String>,
    /// Installed modules.
    pub modules: Vec<Versioned>,
    /// PostgreSQL's extensions.
    pub extensions: Vec<Versioned>,
    /// Roles that own something in the database or have rights on it.
    pub roles: Vec<String>,
    /// What the database is apart from its content.
    pub properties: DatabaseProperties,
    /// Every table whose rows are in the dump.
    pub tables: Vec<TableFacts>,
}

/// A module or an extension and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// Its technical name.
    pub name: String,
    /// Its version; a module may have none.
    pub version: Option<String>,
}

/// One table in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Mostly `public`.
    pub schema: String,
    /// The table.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// The highest `id`, where it has such a whole number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_id: Option<i64>,
    /// The latest `write_date`, UTC to the microsecond, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_write_date: Option<String>,
}

impl Baseline {
    /// Takes the baseline in this session: inside a [`crate::postgres::SnapshotSession`] it is the
    /// very state that pg_dump writes. Each table is read once.
    ///
    /// # Errors
    /// `Denied` for a table that may not be read, by name: pg_dump would fail on it too.
    pub async fn take(session: &mut Session) -> Result<Baseline> {
        session.allow(TABLE_WAIT).await?;
        Ok(Baseline {
            odoo_version: odoo_version(session).await?,
            database_uuid: database_uuid(session).await?,
            modules: versioned(session, "list the modules", MODULES).await?,
            extensions: versioned(session, "list the extensions", EXTENSIONS).await?,
            roles: roles_in_use(session).await?,
            properties: properties(session).await?,
            tables: tables(session).await?,
        })
    }

    /// Reads one as [`crate::archive`] keeps it, of at most 256 MiB.
    ///
    /// # Errors
    /// `Integrity` where it is not one; what reading `input` returned.
    pub fn read(input: impl Read) -> Result<Baseline> {
        let mut text = Vec::new();
        input
            .take(BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|e| Error::carried(Kind::Integrity, "the baseline cannot be read", e))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::new(Kind::Integrity, "the baseline cannot be read").because(e))
    }

    /// Rows of all tables together.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

const MODULES: &str = "SELECT name::text, latest_version::text FROM public.ir_module_module \
                       WHERE state IN ('installed', 'to upgrade', 'to remove') ORDER BY name COLLATE \"C\"";
const EXTENSIONS: &str =
    "SELECT extname::text, extversion::text FROM pg_extension ORDER BY extname COLLATE \"C\"";

/// Ordinary tables and leaf partitions whose rows pg_dump writes: no temporary ones, none that an
/// extension brings along, and on a standby no unlogged ones, which cannot be read there.
const TABLES: &str = "\
    SELECT n.nspname::text, c.relname::text, \
      EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'id' AND NOT a.attisdropped \
        AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)), \
      (SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'write_date' \
        AND NOT a.attisdropped AND a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype)) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
      AND (c.relpersistence = 'p' OR c.relpersistence = 'u' AND NOT pg_is_in_recovery()) \
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
        AND d.deptype = 'e') \
    ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

async fn tables(session: &mut Session) -> Result<Vec<TableFacts>> {
    let listed = session.rows("list the tables", TABLES).await?;
    let mut out = Vec::with_capacity(listed.len());
    for row in &listed {
        let (schema, name): (String, String) = (column(row, 0)?, column(row, 1)?);
        let max_id = if column(row, 2)? { "max(id)::bigint" } else { "NULL::bigint" };
        let written: Option<String> = column(row, 3)?;
        let max_write_date = match written.as_deref() {
            None => "NULL".to_owned(),
            Some(kind) => {
                let zone = if kind.contains("with time zone") { " AT TIME ZONE 'UTC'" } else { "" };
                format!("to_char(max(write_date){zone}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
        };
        let table = qualified(&schema, &name);
        let sql = format!("SELECT count(*), {max_id}, {max_write_date}::text FROM ONLY {table}");
        let facts = session.row(&format!("count table {schema}.{name}"), sql).await?;
        out.push(TableFacts {
            rows: column::<i64>(&facts, 0)?.max(0) as u64,
            max_id: column(&facts, 1)?,
            max_write_date: column(&facts, 2)?,
            schema,
            name,
        });
    }
    Ok(out)
}

async fn versioned(session: &mut Session, what: &str, sql: &str) -> Result<Vec<Versioned>> {
    let rows = session.rows(what, sql).await?;
    rows.iter().map(|row| Ok(Versioned { name: column(row, 0)?, version: column(row, 1)? })).collect()
}

async fn database_uuid(session: &mut Session) -> Result<Option<String>> {
    let sql = "SELECT value FROM public.ir_config_parameter WHERE key = 'database.uuid'";
    match session.rows("read the database's uuid", sql).await?.first() {
        Some(row) => column(row, 0),
        None => Ok(None),
    }
}
