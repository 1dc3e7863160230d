//! The server that a restored tenant goes to: whether it can take it.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::baseline::Baseline;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::database::{database_exists, missing_roles};
use crate::postgres::server::{ServerInfo, server_info};
use crate::postgres::server_command;
use crate::postgres::session::{Session, column};
use crate::recovery::place::exists;

/// The server, where a database of this name can be made in it out of `what`, which is of the
/// version and major version given.
///
/// # Errors
/// `Refused` where it is a standby, older than that, or has such a database.
pub(super) async fn check_server(
    session: &mut Session,
    (what, version, major): (&str, &str, u32),
    database: &TenantName,
) -> Result<ServerInfo> {
    let server = server_info(session).await?;
    if server.is_standby {
        return Err(Error::new(
            Kind::Refused,
            format!("{} is a standby: nothing can be made there", session.place()),
        )
        .next("set postgres.host to the primary or to another cluster"));
    }
    if server.major < major {
        return Err(Error::new(
            Kind::Refused,
            format!("{what} is of PostgreSQL {version}, the target is {}", server.version),
        )
        .effect("an older server may not understand it; nothing was changed")
        .next("restore into a cluster of the same or a newer major version"));
    }
    match database_exists(session, database.as_str()).await? {
        true => Err(exists(&format!("database {database}"), "it is left as it is", database)),
        false => Ok(server),
    }
}

/// Whether the server can make the extensions that the tenant has.
///
/// # Errors
/// `Postgres`, naming those that it cannot.
pub(super) async fn check_extensions(session: &mut Session, baseline: &Baseline) -> Result<()> {
    let sql = "SELECT name::text FROM pg_catalog.pg_available_extensions";
    let rows = session.rows("list the extensions of the server", sql).await?;
    let known = rows.iter().map(|row| column(row, 0)).collect::<Result<BTreeSet<String>>>()?;
    let names = baseline.extensions.iter().map(|extension| &extension.name);
    let missing: Vec<&str> = names.filter(|name| !known.contains(*name)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Postgres,
        format!("the target server does not have extension {}", missing.join(", ")),
    )
    .effect("the tenant's tables and functions need it; nothing was changed")
    .next(
        "install the packages that bring it on the database server, as in postgresql-contrib, then run again",
    ))
}

/// Whether the server has the roles that own something, or the one that will own everything.
pub(super) async fn check_roles(
    session: &mut Session,
    postgres: &PostgresOptions,
    by_owner: Option<&str>,
    baseline: &Baseline,
) -> Result<()> {
    let wanted = match by_owner {
        Some(owner) => vec![owner.to_owned()],
        None => [std::slice::from_ref(&baseline.properties.owner), &baseline.roles].concat(),
    };
    let missing = missing_roles(session, &wanted).await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, format!("the target has no role {}", missing.join(", ")))
        .effect("nothing was changed: owners and rights could not be restored")
        .next(format!(
            "pass --owner ROLE to give everything to one role, or create the roles: lifeboat cat \
             GLOBALS_SNAPSHOT globals.sql --identity FILE | {}",
            server_command::psql(postgres)
        )))
}
