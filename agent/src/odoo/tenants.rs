//! Finds the Odoo databases of a cluster.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::names::{INCOMPLETE_SUFFIX, TenantName};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::copy_out::Row;
use crate::postgres::database::database_bytes;
use crate::postgres::look;
use crate::postgres::session::{Session, column};
use crate::postgres::table::{Table, Type};

/// An Odoo database that Lifeboat can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The name of the database and of its folder in the filestore.
    pub name: TenantName,
    /// The version of module `base`, as in `17.0.1.3`.
    pub odoo_version: Option<String>,
    /// The size of the database in the cluster.
    pub database_bytes: u64,
}

/// What a search of the cluster found. Every database except template0 and template1 is in exactly one of
/// `tenants`, `unknown`, `unfinished` and `others`, or was dropped meanwhile and has a note.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Odoo databases, sorted by name.
    pub tenants: Vec<Tenant>,
    /// Databases that could not be read, with the reason: each may be a tenant that is not backed up.
    pub unknown: Vec<(String, Error)>,
    /// Databases that a restore is filling or has left: hidden templates with a reserved name.
    pub unfinished: Vec<String>,
    /// Databases that are not Odoo's.
    pub others: Vec<String>,
    /// Databases that were dropped meanwhile, one sentence each.
    pub notes: Vec<String>,
}

/// Reads every database. A template is a tenant like any other, and a database that accepts no connections
/// may be one: an owner can set either flag, and no flag excludes a database from the backup. Only
/// `odoo.exclude` does.
///
/// It never connects to template0 and template1 (nobody can create a database while we are connected to
/// template1), nor to a database that a restore is filling (the restore could not rename it).
///
/// # Errors
/// Only if the list of databases cannot be read; a single database that cannot be read is in
/// [`Discovery::unknown`].
pub async fn discover(options: &PostgresOptions) -> Result<Discovery> {
    let mut found = Discovery::default();
    for (name, is_template) in list(options).await? {
        if is_template && name.ends_with(INCOMPLETE_SUFFIX) {
            found.unfinished.push(name);
            continue;
        }
        match look(options, &name).await {
            Ok(Some(tenant)) => found.tenants.push(tenant),
            Ok(None) => found.others.push(name),
            Err(e) if e.kind() == Kind::NotFound => match gone(options, &name, e).await {
                Ok(note) => found.notes.push(note),
                Err(e) => found.unknown.push((name, e)),
            },
            Err(e) => found.unknown.push((name, e)),
        }
    }
    Ok(found)
}

/// Every database that may be a tenant, and whether it is a template.
async fn list(options: &PostgresOptions) -> Result<Vec<(String, bool)>> {
    let mut session = Session::maintenance(options).await?;
    let sql = "SELECT datname::text, datistemplate FROM pg_database \
               WHERE datname NOT IN ('template0', 'template1') ORDER BY datname COLLATE \"C\"";
    let rows = session.rows("list the databases", sql).await?;
    session.close().await;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// Says that a database was dropped meanwhile. The server also answers "does not exist" for a database whose
/// directory is gone, so the catalog decides.
///
/// # Errors
/// If the catalog still lists it: its content is not backed up.
pub async fn gone(options: &PostgresOptions, database: &str, error: Error) -> Result<String> {
    match list(options).await?.iter().any(|(name, _)| name == database) {
        false => Ok(format!("database {database} was dropped during the backup: {}", error.what())),
        true => Err(Error::new(
            Kind::Postgres,
            format!("pg_database lists {database:?}, but the server says that it does not exist"),
        )
        .because(error)
        .effect("this database is not backed up; only its earlier backups exist")
        .next(
            "check the server's log and the disk of its tablespace: the directory of the database may be gone",
        )),
    }
}

/// The object ID of every database.
///
/// # Errors
/// If the catalog cannot be read.
pub async fn object_ids(options: &PostgresOptions) -> Result<BTreeMap<String, u32>> {
    let mut session = Session::maintenance(options).await?;
    let sql = "SELECT datname::text, oid::int8 FROM pg_database";
    let rows = session.rows("list the databases", sql).await?;
    session.close().await;
    let one = |row| {
        let oid: i64 = column(row, 1)?;
        let oid = u32::try_from(oid).map_err(|e| Error::new(Kind::Postgres, "no object ID").because(e))?;
        Ok((column(row, 0)?, oid))
    };
    rows.iter().map(one).collect()
}

/// The name of the database with this object ID; `None` if there is none.
///
/// # Errors
/// If the catalog cannot be read.
pub async fn named(session: &mut Session, oid: i64) -> Result<Option<String>> {
    let sql = format!("SELECT datname::text FROM pg_database WHERE oid = {oid}");
    let rows = session.rows("search for a database by its object ID", sql).await?;
    rows.first().map(|row| column(row, 0)).transpose()
}

async fn look(options: &PostgresOptions, database: &str) -> Result<Option<Tenant>> {
    let mut session = Session::connect(options, database).await?;
    look::begin(&mut session).await?;
    let Some(modules) = Table::find(&mut session, MODULES).await? else { return Ok(None) };
    let name = TenantName::from_str(database)
        .map_err(|e| e.effect("the database is not backed up").next("rename the database"))?;
    let odoo_version = version_of_base(&installed(&mut session, &modules).await?);
    let tenant = Tenant { name, odoo_version, database_bytes: database_bytes(&mut session).await? };
    session.close().await;
    Ok(Some(tenant))
}

/// The table that makes a database an Odoo database.
pub(super) const MODULES: &str = "ir_module_module";

/// A module that the database knows.
pub(super) struct Module {
    pub name: String,
    pub state: Option<String>,
    pub version: Option<String>,
}

/// All modules that have a name, in no particular order.
pub(super) async fn installed(session: &mut Session, modules: &Table) -> Result<Vec<Module>> {
    let mut out = Vec::new();
    let columns = [("name", Type::Text), ("state", Type::Text), ("latest_version", Type::Text)];
    let each = |row: &Row<'_>| {
        if let Some(name) = row.text(0) {
            out.push(Module { name, state: row.text(1), version: row.text(2) });
        }
        Ok(())
    };
    modules.each(session, &columns, each).await?;
    Ok(out)
}

/// The version of module `base`; `None` if the installation never finished.
pub(super) fn version_of_base(modules: &[Module]) -> Option<String> {
    modules.iter().find(|module| module.name == "base").and_then(|module| module.version.clone())
}
