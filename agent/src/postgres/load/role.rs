//! The role that loads a dump: created for one load, a member of no role, dropped when the load ends, also
//! after an error. The role of a killed run is found by its name and its comment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::give;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::postgres::connect::Secret;
use crate::postgres::connect::{PostgresOptions, Tls};
use crate::postgres::database::database_exists;
use crate::postgres::quote::{ident, literal};
use crate::postgres::session::{Session, column};

/// The prefix of every such role's name; docs/least-privilege.md and lines in pg_hba.conf use it.
const PREFIX: &str = "lifeboat_load_";
/// Connections in addition to those of pg_restore: the one that shows that the role is in use, and ours.
const SESSIONS_MORE: u32 = 4;
/// How long the password is valid, in case nobody drops the role: longer than pg_restore may take.
const VALID_DAYS: u32 = 8;
/// A younger role may not have its first session yet.
const YOUNG_SECONDS: u32 = 120;
/// How long its last sessions may take to end.
const END_TRIES: u32 = 100;
const END_PAUSE: Duration = Duration::from_millis(100);

/// The comment on the role, for a later run that finds it left over.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// The hidden database that it fills.
    lifeboat_loads: String,
    /// The new owner of what it created; `None` while nothing was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heir: Option<String>,
}

/// An existing role, and a session of it that shows that it is in use.
pub struct Loader {
    /// Its name.
    pub name: String,
    /// How it connects.
    pub options: PostgresOptions,
    database: String,
    guard: Session,
}

impl Loader {
    /// Creates the role, lets it connect only to `database`, and checks that it can log in: at our address,
    /// and if that is a socket, also at 127.0.0.1.
    ///
    /// # Errors
    /// `Refused`, with the line for pg_hba.conf, if it cannot log in; the role is then dropped.
    pub async fn make(
        ours: &mut Session,
        options: &PostgresOptions,
        database: &str,
        jobs: u32,
    ) -> Result<Loader> {
        let name = format!("{PREFIX}{}", random_hex(6));
        let password = random_hex(24);
        let what = "create a role for the load";
        let until = format!("SELECT (pg_catalog.now() + interval '{VALID_DAYS} days')::text");
        let until: String = column(&ours.row(what, until).await?, 0)?;
        let mark = mark(database, None)?;
        // Only the SCRAM verifier goes over the network and into logs, not the password.
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        let (role, place) = (ident(&name), ident(database));
        let sql = format!(
            "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
             CONNECTION LIMIT {} VALID UNTIL {} PASSWORD {}; \
             COMMENT ON ROLE {role} IS {}; \
             GRANT CONNECT, TEMPORARY ON DATABASE {place} TO {role}",
            jobs + SESSIONS_MORE,
            literal(&until),
            literal(&verifier),
            literal(&mark)
        );
        let superuser = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
        // Without superuser rights we are a member of it during the load; it never gets our rights.
        let member = match (column(&ours.row(what, superuser).await?, 0)?, ours.version_num()) {
            (true, _) => String::new(),
            (false, 160_000..) => format!("; GRANT {role} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"),
            (false, _) => format!("; GRANT {role} TO CURRENT_USER"),
        };
        ours.execute(what, sql + &member).await?;
        let mut as_loader =
            PostgresOptions { user: name.clone(), password: Some(Secret::new(password)), ..options.clone() };
        match enter(&mut as_loader, database).await {
            Ok(guard) => Ok(Loader { name, options: as_loader, database: database.to_owned(), guard }),
            Err(tried) => {
                let refused = not_let_in(ours, &as_loader, tried).await;
                retire(ours, options, &name, database, None).await?;
                Err(refused)
            }
        }
    }

    /// Notes who gets what the role creates; call it before the role creates anything.
    pub async fn note_heir(&self, ours: &mut Session, heir: &str) -> Result<()> {
        let mark = mark(&self.database, Some(heir))?;
        let sql = format!("COMMENT ON ROLE {} IS {}", ident(&self.name), literal(&mark));
        ours.execute("note the heir of the load", sql).await.map(drop)
    }

    /// Ends the role's sessions and forbids new ones: no code of the dump runs after this.
    pub async fn close(self, ours: &mut Session) -> Result<Closed> {
        self.guard.close().await;
        let closed = Closed { name: self.name, database: self.database };
        shut(ours, &closed.name).await?;
        Ok(closed)
    }
}

/// A role whose sessions have ended.
pub struct Closed {
    /// Its name.
    pub name: String,
    database: String,
}

impl Closed {
    /// Drops it; objects that it still owns go to `heir`.
    pub async fn drop(self, ours: &mut Session, options: &PostgresOptions, heir: Option<&str>) -> Result<()> {
        retire(ours, options, &self.name, &self.database, heir).await
    }
}

/// Removes the roles that killed runs left: those that filled `database` (nobody else fills it now), and
/// unused ones of other databases. What they created goes to the heirs in their comments. Returns a sentence
/// for each role that could not be removed.
///
/// A role of ours is a member of no role, and only we are a member of it. A role that another user with
/// CREATEROLE created has that user as a member. That user wrote its comment, which could name a superuser
/// as the heir of the user's own objects; so it is left alone. A role that a superuser created has no
/// members.
pub async fn sweep(ours: &mut Session, options: &PostgresOptions, database: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT r.rolname::text, pg_catalog.shobj_description(r.oid, 'pg_authid'), \
           EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) \
           OR coalesce(r.rolvaliduntil > pg_catalog.now() + interval '{VALID_DAYS} days' - interval '{YOUNG_SECONDS} s', false) \
         FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_roles us ON us.rolname = current_user \
         WHERE pg_catalog.starts_with(r.rolname::text, {}) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE r.oid IN (m.roleid, m.member) \
             AND NOT (m.roleid = r.oid AND m.member = us.oid AND NOT us.rolsuper)) \
           AND (us.rolsuper OR pg_catalog.pg_has_role(r.oid, 'MEMBER')) ORDER BY 1",
        literal(PREFIX)
    );
    let mut left = Vec::new();
    for row in ours.rows("search for roles of killed restores", sql).await? {
        let (name, comment, in_use): (String, Option<String>, bool) =
            (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        let mark: Option<Mark> = comment.and_then(|text| serde_json::from_str(&text).ok());
        let Some(mark) = mark else { continue }; // not made by us
        if mark.lifeboat_loads != database && in_use {
            continue;
        }
        if let Err(e) = retire(ours, options, &name, &mark.lifeboat_loads, mark.heir.as_deref()).await {
            let why = e.causes().join("; ");
            left.push(format!("role {name} of a killed restore could not be removed: {}: {why}", e.what()));
        }
    }
    Ok(left)
}

fn mark(database: &str, heir: Option<&str>) -> Result<String> {
    let mark = Mark { lifeboat_loads: database.to_owned(), heir: heir.map(str::to_owned) };
    serde_json::to_string(&mark).map_err(|e| Error::new(Kind::Internal, "cannot write a comment").because(e))
}

async fn shut(ours: &mut Session, name: &str) -> Result<()> {
    let what = "end the sessions of the load";
    ours.execute(what, format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", ident(name))).await?;
    let end = format!(
        "SELECT count(*) FILTER (WHERE NOT coalesce(pg_catalog.pg_terminate_backend(pid), true)), count(*) \
         FROM pg_catalog.pg_stat_activity WHERE usename = {}",
        literal(name)
    );
    for _ in 0..END_TRIES {
        if column::<i64>(&ours.row(what, end.clone()).await?, 1)? == 0 {
            return Ok(());
        }
        clock::sleep(END_PAUSE).await;
    }
    Err(Error::new(Kind::Postgres, format!("the sessions of role {name} do not end")))
}

async fn retire(
    ours: &mut Session,
    options: &PostgresOptions,
    name: &str,
    database: &str,
    heir: Option<&str>,
) -> Result<()> {
    shut(ours, name).await?;
    if database_exists(ours, database).await? {
        let mut there = Session::connect(options, database).await?;
        give::settle(&mut there, name, heir).await?;
        there.close().await;
    }
    ours.execute("drop the role of the load", format!("DROP ROLE {}", ident(name))).await.map(drop)
}

/// The first session: at the configured address; if that is a socket and refuses, at 127.0.0.1. (In Debian's
/// pg_hba.conf a socket accepts only the user of the same name, and 127.0.0.1 any role with a password.)
async fn enter(options: &mut PostgresOptions, database: &str) -> std::result::Result<Session, Vec<Error>> {
    let mut tried = Vec::new();
    let mut addresses = vec![options.host.clone()];
    if options.socket_dir().is_some() {
        addresses.push(Some("127.0.0.1".to_owned()));
    }
    let socket = options.host.clone();
    for host in addresses {
        if host != socket {
            options.tls = Tls::Prefer; // the options of a socket do not set it
        }
        options.host = host;
        match Session::connect(options, database).await {
            Ok(session) => return Ok(session),
            Err(e) => tried.push(e),
        }
    }
    Err(tried)
}

async fn not_let_in(ours: &mut Session, options: &PostgresOptions, tried: Vec<Error>) -> Error {
    let roles = if ours.version_num() >= 160_000 { format!("/^{PREFIX}") } else { "all".to_owned() };
    let from = match options.host.as_deref() {
        Some("127.0.0.1") => "127.0.0.1/32".to_owned(),
        _ => {
            let sql =
                "SELECT coalesce(pg_catalog.host(pg_catalog.inet_client_addr()) || '/32', 'ADDRESS/32')";
            let row = ours.row("read our address", sql).await;
            row.and_then(|row| column(&row, 0)).unwrap_or_else(|_| "ADDRESS/32".to_owned())
        }
    };
    let causes = tried.iter().map(|e| format!("{}: {}", e.what(), e.causes().join("; "))).collect::<Vec<_>>();
    Error::new(Kind::Refused, "the role that was created to load the dump cannot connect to the server")
        .because(causes.join("\n"))
        .effect("nothing was loaded: a dump is loaded with superuser rights only with --load-as-superuser")
        .next(format!(
            "add this line to pg_hba.conf above other matching lines, reload, and run again: host all \
            {roles} {from} scram-sha-256; or, if you trust everybody who could write into this database, add \
            --load-as-superuser"
        ))
        .safe("the role was dropped; running again is safe")
}
