//! Databases that change names: closed to new sessions, emptied, renamed in one transaction.
//!
//! A database is told by its object ID, which a new name does not change; so a run that was killed anywhere
//! is understood by the next one.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::postgres::create::rights_statements;
use crate::postgres::database::{Grant, Setting, grants_of, settings_of};
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};
use crate::postgres::settings::settings_statements;

/// Sessions that are told one sort at a time, at most.
const SORTS_MAX: usize = 50;

/// What a database is, seen from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// It stays when the name changes.
    pub oid: u32,
    /// Whether anybody can connect.
    pub is_open: bool,
    /// Templates cannot be dropped, and Odoo lists none.
    pub is_template: bool,
    /// The owning role.
    pub owner: String,
    /// -1 is unlimited.
    pub connection_limit: i32,
    /// The comment on it.
    pub comment: Option<String>,
    /// Transactions that were prepared in it and are not ended.
    pub prepared: i64,
}

/// Sessions of one sort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connected {
    /// Where.
    pub database: String,
    /// As in `odoo-1234`; what the client calls itself.
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

/// What is asked for.
pub struct Renaming<'a> {
    /// Becomes `tenant`.
    pub copy: &'a str,
    /// The name.
    pub tenant: &'a str,
    /// What is called so now becomes this; `None` where nothing is.
    pub replaced: Option<&'a str>,
    /// The comment that the replaced one gets where it has none.
    pub mark: &'a str,
    /// Whether a comment is one of ours, which goes when its database is the tenant.
    pub is_ours: fn(&str) -> bool,
}

/// Looks at a database; `None` where there is none of this name.
pub async fn facts(session: &mut Session, name: &str) -> Result<Option<Facts>> {
    let sql = format!(
        "SELECT d.oid::int8, d.datallowconn, d.datistemplate, pg_get_userbyid(d.datdba)::text, d.datconnlimit, \
         shobj_description(d.oid, 'pg_database'), \
         (SELECT count(*) FROM pg_prepared_xacts p WHERE p.database = d.datname) \
         FROM pg_database d WHERE d.datname = {}",
        literal(name)
    );
    let rows = session.rows(&format!("look at database {name:?}"), sql).await?;
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

/// What the database of this object ID is called now; `None` where it is gone.
pub async fn name_of(session: &mut Session, oid: u32) -> Result<Option<String>> {
    let sql = format!("SELECT datname::text FROM pg_database WHERE oid = {oid}");
    match session.rows("look for a database by its object ID", sql).await?.first() {
        Some(row) => column(row, 0),
        None => Ok(None),
    }
}

/// Who is connected to these, the most first. Also what is no client: a worker, a walsender.
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
    for row in session.rows("see who is connected", sql).await? {
        let (database, application) = (column(&row, 0)?, column(&row, 1)?);
        out.push(Connected { database, application, user: column(&row, 2)?, sessions: column(&row, 3)? });
    }
    Ok(out)
}

/// Ends every session in these.
pub async fn disconnect(session: &mut Session, names: &[&str]) -> Result<()> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({}) AND pid <> pg_backend_pid()",
        list(names)
    );
    session.rows("end the sessions", sql).await.map(drop)
}

/// Lets nobody connect to these any more, or everybody again.
pub async fn allow_connections(session: &mut Session, names: &[&str], allow: bool) -> Result<()> {
    let what = if allow { "open the databases" } else { "close the databases" };
    let each = names.iter().map(|name| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", ident(name)));
    let all: Vec<String> = each.collect();
    transaction(session, what, &all).await
}

/// Renames both at once, gives the new one what hangs on the tenant's name (rights, settings, limit,
/// comment), and opens it. The replaced one stays closed.
///
/// # Errors
/// `Postgres` where one of them is in use or a name is taken; nothing has changed then.
pub async fn rename(session: &mut Session, renaming: &Renaming<'_>) -> Result<()> {
    let (copy, tenant) = (ident(renaming.copy), ident(renaming.tenant));
    let gone = |name: &str| {
        Error::new(Kind::Postgres, format!("there is no database {name:?} any more"))
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
        let _ = session.execute("roll back", "ROLLBACK").await; // the first error is the one to tell
    }
    done.map(drop)
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| literal(name)).collect();
    quoted.join(", ")
}
