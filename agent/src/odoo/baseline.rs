//! The numbers of a tenant's content at the point of its dump, so that a loss can be noticed later.

mod cell;
mod counted;
pub mod decisive;
pub mod figures;
pub mod inputs;
mod origins;
pub mod schema;
pub mod values;

use std::collections::BTreeMap;
use std::io::Read;

use figures::Figures;
use inputs::Input;
use origins::Origins;
use schema::SchemaFacts;
use serde::{Deserialize, Serialize};
use values::TableValues;

use crate::error::{Error, Kind, Result};
use crate::odoo::lasting::{Counted, LastingCounts};
use crate::odoo::outside;
use crate::odoo::tenants::{self, Module};
use crate::postgres::copy_out::Row;
use crate::postgres::database::{DatabaseProperties, properties, roles_in_use};
use crate::postgres::look;
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Session, column};
use crate::postgres::table::{Table, Type};

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
    /// Roles that own something in the database or have privileges on it.
    pub roles: Vec<String>,
    /// Properties of the database itself, apart from its content.
    pub properties: DatabaseProperties,
    /// Every table whose rows are in the dump.
    pub tables: Vec<TableFacts>,
    /// What the database itself can reach outside, one sentence each. It is not compared, because a restored
    /// copy is cut off from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reaches: Vec<String>,
    /// Columns, indexes, constraints and sequences. `None` in older baselines, and if there is too much of
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaFacts>,
    /// The values of decisive tables, those that the database has. `None` in older baselines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<TableValues>>,
    /// The business documents of each day, by table; see [`LASTING`](crate::odoo::lasting::LASTING). `None`
    /// in older baselines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<BTreeMap<String, LastingCounts>>,
    /// Totals of business documents. `None` in older baselines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Vec<Figures>>,
    /// What base checks read, by table. `None` in older baselines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, Input>>,
}

/// A module or an extension and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// Its technical name.
    pub name: String,
    /// Its version; a module may have none.
    pub version: Option<String>,
}

/// The numbers of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// The schema, usually `public`.
    pub schema: String,
    /// The table.
    pub name: String,
    /// The number of its rows.
    pub rows: u64,
    /// The highest `id`, if it has such a column of an integer type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_id: Option<i64>,
    /// The latest `write_date`, UTC to the microsecond, if it has such a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_write_date: Option<String>,
}

impl Baseline {
    /// Takes the baseline in this session, in a transaction that [`look`] guards. In a
    /// [`crate::postgres::SnapshotSession`] it describes exactly the state that pg_dump writes. Each table is
    /// read once.
    ///
    /// # Errors
    /// `Denied`, naming a table that may not be read; pg_dump would fail on it too.
    pub async fn take(session: &mut Session) -> Result<Baseline> {
        Ok(Baseline::take_counting(session, &BTreeMap::new()).await?.0)
    }

    /// The same, and the numbers of the tables whose rows last. `before` has the highest `id` of each of them
    /// in an earlier backup.
    ///
    /// # Errors
    /// As [`Baseline::take`].
    pub async fn take_counting(
        session: &mut Session,
        before: &BTreeMap<String, i64>,
    ) -> Result<(Baseline, BTreeMap<String, Counted>)> {
        session.allow(TABLE_WAIT).await?;
        let known = Table::get(session, tenants::MODULES).await?;
        let known = tenants::installed(session, &known).await?;
        let (tables, lasting) = counted::tables(session, before).await?;
        let origins = Origins::read(session).await?;
        let mut schema = schema::take(session).await?;
        schema.iter_mut().for_each(|schema| origins.add_to(schema));
        let baseline = Baseline {
            odoo_version: tenants::version_of_base(&known),
            database_uuid: database_uuid(session).await?,
            modules: modules(&known),
            extensions: extensions(session).await?,
            roles: roles_in_use(session).await?,
            properties: properties(session).await?,
            tables,
            reaches: outside::reaches(session).await?,
            schema,
            values: Some(values::take(session, &origins).await?),
            figures: Some(figures::take(session).await?),
            inputs: Some(inputs::take(session).await?),
            lasting: Some(lasting.iter().map(|(name, one)| (name.clone(), one.now.clone())).collect()),
        };
        Ok((baseline, lasting))
    }

    /// The same for a database that was just loaded, in a session of the tables' owner, who has no BYPASSRLS.
    /// FORCE ROW LEVEL SECURITY would hide rows from the owner too, so it is off while the tables are
    /// counted; the rollback at the end turns it on again.
    ///
    /// # Errors
    /// As [`Baseline::take`].
    pub async fn take_as_owner(session: &mut Session) -> Result<Baseline> {
        let what = "count rows despite row-level security";
        session.allow(TABLE_WAIT).await?;
        session.execute(what, "BEGIN").await?;
        look::guard(session).await?;
        for row in session.rows(what, FORCED).await? {
            session.execute(what, column::<String>(&row, 0)?).await?;
        }
        let taken = Baseline::take(session).await?;
        session.execute(what, "ROLLBACK").await?;
        Ok(taken)
    }

    /// Reads a baseline in the format of [`crate::archive`], at most 256 MiB.
    ///
    /// # Errors
    /// `Integrity` if it is not a baseline; whatever reading `input` returned.
    pub fn read(input: impl Read) -> Result<Baseline> {
        let mut text = Vec::new();
        input
            .take(BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|e| Error::carried(Kind::Integrity, "the baseline cannot be read", e))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::new(Kind::Integrity, "the baseline cannot be read").because(e))
    }

    /// The same with digests in place of values and of names of rows: enough to compare it with another one
    /// like it, and too little to read what is in the database.
    pub fn without_content(&self) -> Baseline {
        let values = self.values.clone();
        Baseline {
            roles: Vec::new(),
            reaches: Vec::new(),
            properties: DatabaseProperties { grants: None, settings: Vec::new(), ..self.properties.clone() },
            values: values.map(|all| all.into_iter().map(TableValues::without_content).collect()),
            inputs: None,
            ..self.clone()
        }
    }

    /// The number of rows of all tables together.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Tables whose policies apply to their owner too.
const FORCED: &str = "\
    SELECT format('ALTER TABLE ONLY %I.%I NO FORCE ROW LEVEL SECURITY', n.nspname, c.relname) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relforcerowsecurity AND row_security_active(c.oid) ORDER BY 1";
const EXTENSIONS: &str =
    "SELECT extname::text, extversion::text FROM pg_extension ORDER BY extname COLLATE \"C\"";
/// States of `ir_module_module` in which a module's tables exist.
const INSTALLED: [&str; 3] = ["installed", "to upgrade", "to remove"];

fn modules(all: &[Module]) -> Vec<Versioned> {
    let is_installed = |m: &&Module| m.state.as_deref().is_some_and(|state| INSTALLED.contains(&state));
    let versioned = |m: &Module| Versioned { name: m.name.clone(), version: m.version.clone() };
    let mut out: Vec<Versioned> = all.iter().filter(is_installed).map(versioned).collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// The installed modules alone, sorted by name; in a transaction that [`look`] began.
///
/// # Errors
/// As [`Baseline::take`].
pub async fn installed_modules(session: &mut Session) -> Result<Vec<Versioned>> {
    let known = Table::get(session, tenants::MODULES).await?;
    Ok(modules(&tenants::installed(session, &known).await?))
}

async fn extensions(session: &mut Session) -> Result<Vec<Versioned>> {
    let rows = session.rows("list the extensions", EXTENSIONS).await?;
    rows.iter().map(|row| Ok(Versioned { name: column(row, 0)?, version: column(row, 1)? })).collect()
}

async fn database_uuid(session: &mut Session) -> Result<Option<String>> {
    let mut uuid = None;
    let take = |row: &Row<'_>| {
        if row.bytes(0) == Some(b"database.uuid") {
            uuid = row.text(1);
        }
        Ok(())
    };
    let parameters = Table::get(session, "ir_config_parameter").await?;
    parameters.each(session, &[("key", Type::Text), ("value", Type::Text)], take).await?;
    Ok(uuid)
}
