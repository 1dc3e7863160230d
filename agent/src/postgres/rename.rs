//! Renames databases: closes them to new sessions, ends the existing sessions, renames both in one
//! transaction.
//!
//! A database is identified by its object ID, which a new name does not change. So the next run
//! understands the state that a killed run left.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::postgres::create::rights_statements;
use crate::postgres::database::{Grant, Setting, grants_of, settings_of};
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};
use crate::postgres::settings::settings_statements;

/// How many kinds of sessions are listed.
const SORTS_MAX: usize = 50;

/// The properties of a database, read from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The object ID; it stays the same when the name changes.
    pub oid: u32,
    /// Whether anybody can connect.
    pub is_open: bool,
    /// Whether it is a template: it cannot be dropped, and Odoo does not list it.
    pub is_template: bool,
    /// The owning role.
    pub owner: String,
    /// -1 is unlimited.
    pub connection_limit: i32,
    /// Its comment.
    pub comment: Option<String>,
    /// Prepared transactions in it that are still open.
    pub prepared: i64,
}

/// Sessions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connected {
    /// The database.
    pub database: String,
    /// The client's `application_name`, as in `odoo-1234`.
    pub application: String,
    /// The role.
    pub user: String,
    /// How many.
    pub sessions: i64,
}

impl std::fmt::Display for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let application =
            if self.application.is_empty() { "a client without a name" } else { &self.application };
        let s = if self.sessions == 1 { "" } else { "s" };
        write!(f, "{} session{s} of {application:?} as {} in {}", self.sessions, self.user, self.database)
    }
}

/// What to rename.
pub struct Renaming<'a> {
    /// The database that gets the name `tenant`.
    pub copy: &'a str,
    /// The tenant's name.
    pub tenant: &'a str,
    /// The new name of the database that is called `tenant` now; `None` if there is none.
    pub replaced: Option<&'a str>,
    /// The comment for the replaced database, if it has none.
    pub mark: &'a str,
    /// Whether a comment is one of ours; it is removed when its database becomes the tenant.
    pub is_ours: fn(&str) -> bool,
}

/// Reads the properties of a database; `None` if it does not exist.
pub async fn facts(session: &mut Session, name: &str) -> Result<Option<Facts>> {
    let sql = format!(
        "SELECT d.oid::int8, d.datallowconn, d.datistemplate, pg_get_userbyid(d.datdba)::text, d.datconnlimit, \
         shobj_description(d.oid, 'pg_database'), \
         (SELECT count(*) FROM pg_prepared_xacts p WHERE p.database = d.datname) \
         FROM pg_database d WHERE d.datname = {}",
        literal(name)
    );
    let rows = session.rows(&format!("read the properties of database {name:?}"), sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Facts {
        oid: column::<i64>(row, 0)? as u32,
        is_open: column(row, 1)?,
        is_template: column(row, 2)?,
        owner: column(row, 3)?,
        connection_limit: column(row, 4)?,
        comment: column(row, 5)?,
        prepared: column(row, 6)?,
    }))
}

/// The current name of the database with this object ID; `None` if it is gone.
pub async fn name_of(session: &mut Session, oid: u32) -> Result<Option<String>> {
    let sql = format!("SELECT datname::text FROM pg_database WHERE oid = {oid}");
    match session.rows("search for a database by its object ID", sql).await?.first() {
        Some(row) => column(row, 0),
        None => Ok(None),
    }
}

/// The sessions in these databases, the most frequent kind first. Includes workers and WAL senders.
pub async fn connected(session: &mut Session, names: &[&str]) -> Result<Vec<Connected>> {
    let sql = format!(
        "SELECT datname::text, coalesce(nullif(application_name, ''), \
         CASE WHEN backend_type = 'client backend' THEN '' ELSE backend_type END, '')::text, \
         coalesce(usename::text, 'the server'), count(*) FROM pg_stat_activity \
         WHERE datname IN ({}) AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' \
         GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT {SORTS_MAX}",
        list(names)
    );
    let mut out = Vec::new();
    for row in session.rows("list the sessions", sql).await? {
        let (database, application) = (column(&row, 0)?, column(&row, 1)?);
        out.push(Connected { database, application, user: column(&row, 2)?, sessions: column(&row, 3)? });
    }
    Ok(out)
}

/// Ends every session in these databases.
pub async fn disconnect(session: &mut Session, names: &[&str]) -> Result<()> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({}) AND pid <> pg_backend_pid()",
        list(names)
    );
    session.rows("end the sessions", sql).await.map(drop)
}

/// Closes these databases to new connections, or opens them again.
pub async fn allow_connections(session: &mut Session, names: &[&str], allow: bool) -> Result<()> {
    let what = if allow { "open the databases" } else { "close the databases" };
    let each = names.iter().map(|name| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", ident(name)));
    let all: Vec<String> = each.collect();
    transaction(session, what, &all).await
}

/// Renames both in one transaction, gives the new one the tenant's privileges, settings, connection limit
/// and comment, and opens it. The replaced database stays closed.
///
/// # Errors
/// `Postgres` if one of them is in use or a name is taken; then nothing was changed.
pub async fn rename(session: &mut Session, renaming: &Renaming<'_>) -> Result<()> {
    let (copy, tenant) = (ident(renaming.copy), ident(renaming.tenant));
    let gone = |name: &str| {
        Error::new(Kind::Postgres, format!("database {name:?} no longer exists"))
            .effect("no database was renamed")
    };
    let new = facts(session, renaming.copy).await?.ok_or_else(|| gone(renaming.copy))?;
    let mut statements = Vec::new();
    let mut comment = new.comment.clone();
    let mut rest = Vec::new();
    if let Some(replaced) = renaming.replaced {
        let old = facts(session, renaming.tenant).await?.ok_or_else(|| gone(renaming.tenant))?;
        statements.push(format!("ALTER DATABASE {tenant} RENAME TO {}", ident(replaced)));
        let rights: [Option<Vec<Grant>>; 2] =
            [grants_of(session, renaming.copy).await?, grants_of(session, renaming.tenant).await?];
        rest.extend(rights_statements(&tenant, &new.owner, &rights[0], &rights[1]));
        let settings: [Vec<Setting>; 2] =
            [settings_of(session, renaming.copy).await?, settings_of(session, renaming.tenant).await?];
        rest.extend(settings_statements(renaming.tenant, &settings[0], &settings[1]));
        if new.connection_limit != old.connection_limit {
            rest.push(format!("ALTER DATABASE {tenant} CONNECTION LIMIT {}", old.connection_limit));
        }
        match old.comment {
            Some(text) if !(renaming.is_ours)(&text) => comment = Some(text),
            _ => rest.push(format!("COMMENT ON DATABASE {} IS {}", ident(replaced), literal(renaming.mark))),
        }
    }
    statements.push(format!("ALTER DATABASE {copy} RENAME TO {tenant}"));
    statements.append(&mut rest);
    let comment = comment.filter(|text| !(renaming.is_ours)(text));
    if comment != new.comment {
        let text = comment.as_deref().map_or("NULL".to_owned(), literal);
        statements.push(format!("COMMENT ON DATABASE {tenant} IS {text}"));
    }
    statements.push(format!("ALTER DATABASE {tenant} ALLOW_CONNECTIONS true"));
    let what = format!("rename database {:?} to {:?}", renaming.copy, renaming.tenant);
    transaction(session, &what, &statements).await
}

async fn transaction(session: &mut Session, what: &str, statements: &[String]) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let done = session.execute(what, format!("BEGIN; {}; COMMIT", statements.join("; "))).await;
    if done.is_err() {
        let _ = session.execute("roll back", "ROLLBACK").await; // the first error is the one to report
    }
    done.map(drop)
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| literal(name)).collect();
    quoted.join(", ")
}
