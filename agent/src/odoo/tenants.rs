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

/// What a look over the cluster found. Every connectable database is in exactly one of tenants,
/// unknown and others.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Odoo databases, sorted by name.
    pub tenants: Vec<Tenant>,
    /// Databases that could not be looked into, with the reason: each may be a tenant that is
    /// not backed up.
    pub unknown: Vec<(String, Error)>,
    /// Databases that are not Odoo's.
    pub others: Vec<String>,
    /// What else is worth a line: a template that is Odoo's, a database that was dropped meanwhile.
    pub notes: Vec<String>,
}

/// Looks into every database that allows connections. A template is no tenant unless odoo.tenants names it, but
/// it is told: its owner can make it one, and nobody may leave the backups unseen.
///
/// # Errors
/// Only when the list of databases cannot be had; one database that cannot be looked into is in
/// [`Discovery::unknown`].
pub async fn discover(options: &PostgresOptions) -> Result<Discovery> {
    let mut session = Session::maintenance(options).await?;
    let sql = "SELECT datname::text, datistemplate FROM pg_database WHERE datallowconn \
               AND datname NOT IN ('template0', 'template1') ORDER BY datname COLLATE \"C\"";
    let rows = session.rows("list the databases", sql).await?;
    let named = |row| Ok((column(row, 0)?, column(row, 1)?));
    let names = rows.iter().map(named).collect::<Result<Vec<(String, bool)>>>()?;
    session.close().await;
    let mut found = Discovery::default();
    for (name, is_template) in names {
        match look(options, &name).await {
            Ok(Some(_)) if is_template && name.ends_with(INCOMPLETE_SUFFIX) => {}
            Ok(Some(_)) if is_template => found.notes.push(format!(
                "database {name:?} is Odoo's and a template, so it is not backed up: name it in odoo.tenants if it is a tenant"
            )),
            Ok(None) if is_template => {}
            Err(e) if is_template && e.kind() != Kind::NotFound => found.notes.push(format!(
                "template database {name:?} cannot be looked into, and is not backed up: {}", e.causes().join("; ")
            )),
            Ok(Some(tenant)) => found.tenants.push(tenant),
            Ok(None) => found.others.push(name),
            Err(e) if e.kind() == Kind::NotFound => {
                found.notes.push(format!("database {name:?} was dropped while the tenants were listed"));
            }
            Err(e) => found.unknown.push((name, e)),
        }
    }
    Ok(found)
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
