//! Which databases of a cluster are Odoo's.

use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::names::{INCOMPLETE_SUFFIX, TenantName};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::copy_out::Row;
use crate::postgres::database::database_bytes;
use crate::postgres::look;
use crate::postgres::session::{Session, column};
use crate::postgres::table::{Table, Type};

/// An Odoo database that the agent can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The database, and the folder below the filestore.
    pub name: TenantName,
    /// The version of module `base`, as in `17.0.1.3`.
    pub odoo_version: Option<String>,
    /// What the database takes in the cluster.
    pub database_bytes: u64,
}

/// What a look over the cluster found. Every database of it but template0 and template1 is in exactly one of tenants,
/// unknown, unfinished and others, or was dropped meanwhile and has a note.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Odoo databases, sorted by name.
    pub tenants: Vec<Tenant>,
    /// Databases that could not be looked into, with the reason: each may be a tenant that is
    /// not backed up.
    pub unknown: Vec<(String, Error)>,
    /// Databases that a restore is filling, or left behind: hidden templates with a name that says so.
    pub unfinished: Vec<String>,
    /// Databases that are not Odoo's.
    pub others: Vec<String>,
    /// Databases that were dropped meanwhile, each as a sentence.
    pub notes: Vec<String>,
}

/// Looks into every database. A template is a tenant like any other, and one that takes no connections may be one: an
/// owner can make his database either, and no flag takes what is in it out of the backup; odoo.exclude does.
///
/// Two are never entered: template0 and template1, PostgreSQL's own, since nobody can create a database while we are
/// connected to the second. Neither is one that a restore is filling, which could not be renamed then.
///
/// # Errors
/// Only when the list of databases cannot be had; one database that cannot be looked into is in
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

/// Says that a database was dropped meanwhile. The server also answers "does not exist" for one whose directory is
/// gone, so the catalog decides.
///
/// # Errors
/// Where the catalog still lists it: what is in it is not backed up.
pub async fn gone(options: &PostgresOptions, database: &str, error: Error) -> Result<String> {
    match list(options).await?.iter().any(|(name, _)| name == database) {
        false => Ok(format!("database {database} was dropped during the backup: {}", error.what())),
        true => Err(Error::new(
            Kind::Postgres,
            format!("pg_database lists {database:?}, but nobody can connect to it"),
        )
        .because(error)
        .effect("the database is not backed up; only its earlier backups exist")
        .next(
            "check the server's log and the disk of its tablespace: the directory of the database may be gone",
        )),
    }
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

/// What makes a database Odoo's.
pub(super) const MODULES: &str = "ir_module_module";

/// A module that is known to the database.
pub(super) struct Module {
    pub name: String,
    pub state: Option<String>,
    pub version: Option<String>,
}

/// All that have a name, in no order.
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

/// The version of module `base`; `None` in a database whose installation never finished.
pub(super) fn version_of_base(modules: &[Module]) -> Option<String> {
    modules.iter().find(|module| module.name == "base").and_then(|module| module.version.clone())
}
