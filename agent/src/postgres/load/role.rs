//! The role that loads a dump: made for one load, a member of nothing, dropped when the load ends, also
//! in an error. What a killed run left is found by its name and the comment on it.

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

/// How every such role is called; docs/least-privilege.md and pg_hba.conf know it.
const PREFIX: &str = "lifeboat_load_";
/// Connections beside those of pg_restore: the one that shows that somebody is at work, and ours.
const SESSIONS_MORE: u32 = 4;
/// The password ends then, should nobody drop the role: longer than pg_restore may take.
const VALID_DAYS: u32 = 8;
/// A role that is younger may not have its first session yet.
const YOUNG_SECONDS: u32 = 120;
/// Its last sessions are told to end and get this long.
const END_TRIES: u32 = 100;
const END_PAUSE: Duration = Duration::from_millis(100);

/// The comment on the role: whose it is, for the run that finds it left over.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// The hidden database that it fills.
    lifeboat_loads: String,
    /// Who gets what it made; nobody yet where nothing was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heir: Option<String>,
}

/// A role that exists, and a session of it that shows that it is in use.
pub struct Loader {
    /// Its name.
    pub name: String,
    /// How it connects.
    pub options: PostgresOptions,
    database: String,
    guard: Session,
}

impl Loader {
    /// Makes the role, lets it into `database` and nothing else, and looks whether the server lets it
    /// in: at the address that we use, and where that is a socket at 127.0.0.1, too.
    ///
    /// # Errors
    /// `Refused` with the line for pg_hba.conf where the server does not let it in; it is gone then.
    pub async fn make(
        ours: &mut Session,
        options: &PostgresOptions,
        database: &str,
        jobs: u32,
    ) -> Result<Loader> {
        let name = format!("{PREFIX}{}", random_hex(6));
        let password = random_hex(24);
        let what = "make a role for the load";
        let until = format!("SELECT (pg_catalog.now() + interval '{VALID_DAYS} days')::text");
        let until: String = column(&ours.row(what, until).await?, 0)?;
        let mark = mark(database, None)?;
        // The verifier goes over the wire and into logs, not the password.
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
        // Whoever is no superuser has its rights for the time of the load; it never has ours.
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

    /// Notes who gets what the role makes: from here on it makes something.
    pub async fn note_heir(&self, ours: &mut Session, heir: &str) -> Result<()> {
        let mark = mark(&self.database, Some(heir))?;
        let sql = format!("COMMENT ON ROLE {} IS {}", ident(&self.name), literal(&mark));
        ours.execute("note the heir of the load", sql).await.map(drop)
    }

    /// Ends the role's sessions and lets it in no more: nothing of the dump runs after this.
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
    /// Drops it; what it still owns goes to `heir`.
    pub async fn drop(self, ours: &mut Session, options: &PostgresOptions, heir: Option<&str>) -> Result<()> {
        retire(ours, options, &self.name, &self.database, heir).await
    }
}

/// Removes the roles that killed runs left: those that filled `database`, which nobody else does now, and
/// those of other databases that nobody uses. What they made goes to the heirs that they noted. Gives a
/// sentence for each that could not be removed.
///
/// A role of ours is a member of nothing, and nobody but us is a member of it; of one that somebody else with
/// CREATEROLE made, he is. Its note is his, and could name a superuser as the heir of what he wrote: it is left alone.
/// A superuser makes his without members.
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
    for row in ours.rows("look for roles of killed restores", sql).await? {
        let (name, comment, in_use): (String, Option<String>, bool) =
            (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        let mark: Option<Mark> = comment.and_then(|text| serde_json::from_str(&text).ok());
        let Some(mark) = mark else { continue }; // not made by us
        if mark.lifeboat_loads != database && in_use {
            continue;
        }
        if let Err(e) = retire(ours, options, &name, &mark.lifeboat_loads, mark.heir.as_deref()).await {
            let why = e.causes().join("; ");
            left.push(format!("role {name} of a killed restore is still there: {}: {why}", e.what()));
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
    Err(Error::new(Kind::Postgres, format!("sessions of role {name} do not end")))
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

/// The first session: at the configured address, else at 127.0.0.1 where that is a socket (Debian's
/// pg_hba.conf lets only the user of the same name into that, and anybody with a password into this).
async fn enter(options: &mut PostgresOptions, database: &str) -> std::result::Result<Session, Vec<Error>> {
    let mut tried = Vec::new();
    let mut addresses = vec![options.host.clone()];
    if options.socket_dir().is_some() {
        addresses.push(Some("127.0.0.1".to_owned()));
    }
    let socket = options.host.clone();
    for host in addresses {
        if host != socket {
            options.tls = Tls::Prefer; // a socket's options say nothing of it
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
            let row = ours.row("ask where we come from", sql).await;
            row.and_then(|row| column(&row, 0)).unwrap_or_else(|_| "ADDRESS/32".to_owned())
        }
    };
    let causes = tried.iter().map(|e| format!("{}: {}", e.what(), e.causes().join("; "))).collect::<Vec<_>>();
    Error::new(Kind::Refused, "the role that was made to load the dump cannot connect to the server")
        .because(causes.join("\n"))
        .effect("nothing was loaded: a dump is never loaded with a superuser's rights unless you say so")
        .next(format!(
            "add this line to pg_hba.conf above other lines that match, reload, and run again: host all \
            {roles} {from} scram-sha-256; if you trust everybody who could write into this database: \
            --load-as-superuser"
        ))
        .safe("the role was dropped; running again is safe")
}
