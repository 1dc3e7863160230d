//! What to do about an error of the server, by its SQLSTATE: the only such table.
//!
//! Codes are listed in full; a class is listed only if all its codes mean the same. The server's text never
//! decides: it is in the server's language.

use super::message::{code_of, said};
use crate::error::{Error, Kind};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::quote::ident;
use crate::postgres::server_command;

/// What to do about an error of a statement; `None` if the server's own message must suffice.
pub fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "55P03" => "another session holds a lock: see pg_locks, then run again when it is released",
        "57014" => {
            "the statement took too long, or somebody cancelled it: see pg_stat_activity and the server's log"
        }
        "57P01" | "57P02" | "57P03" => "the server ended the session; see its log, then run again",
        "57P05" | "25P03" | "25P04" => "the server ended the session because of a time limit; see its log",
        "42501" => {
            "grant the missing privileges to the agent's role: run deploy/postgresql/roles.sql for dumps, \
             replication-grants.sql for base backups and WAL (docs/installation.md, step 3)"
        }
        "25006" => "the server is a standby and accepts no changes: connect to the primary",
        "40001" | "40P01" => {
            "the statement conflicted with another session, or with replay on a standby: run again; on a \
             standby raise max_standby_streaming_delay"
        }
        "53100" => "the server's disk is full: free some space",
        "53200" => "the server ran out of memory: see its log",
        "53300" => "too many connections: raise max_connections, or the CONNECTION LIMIT of database or role",
        "58030" | "58P01" | "XX001" | "XX002" => {
            "the server cannot read its own files: first see its log, then check the disk"
        }
        _ => return None,
    })
}

/// A refused login: its purpose, the kind of error, and how to correct it.
pub fn of_login(error: Error, options: &PostgresOptions, database: Option<&str>) -> Error {
    let tried = match options.socket_dir() {
        Some(_) => String::new(),
        None => format!(" (postgres.tls = {:?})", options.tls.name()),
    };
    let place = match database {
        Some(database) => options.place(database),
        None => options.place_of_replication(),
    };
    let (kind, next) = match code_of(&error) {
        Some(code) => by_code(code, options, database),
        None => (error.kind(), without_code(&error, options)),
    };
    let what = match code_of(&error) {
        // PostgreSQL itself accepts our startup settings: only a pooler refuses them
        Some(POOLER) => format!("a connection pooler (such as pgbouncer) answers, not the server: {place}"),
        Some(_) => format!("cannot connect to {place}{tried}: the server refused"),
        None => format!("cannot connect to {place}{tried}"),
    };
    let safe = "nothing was changed; running again is safe";
    match said(&error) {
        Some(said) => Error::new(kind, what).because(said.clone()).next(next).safe(safe),
        None => error.next(next).safe(safe).context(what).with_kind(kind),
    }
}

/// The SQLSTATE of poolers for what they do not support (protocol_violation).
const POOLER: &str = "08P01";

fn by_code(code: &str, options: &PostgresOptions, database: Option<&str>) -> (Kind, String) {
    let user = ident(&options.user);
    match (code, database) {
        ("3D000", _) => {
            let psql = server_command::psql_in(options, "template1"); // always exists
            (Kind::NotFound, format!("list the databases: {psql} --list"))
        }
        ("42501", Some(database)) => (
            Kind::Denied,
            format!(
                "GRANT CONNECT ON DATABASE {} TO {user}; or leave the database out: odoo.exclude",
                ident(database)
            ),
        ),
        ("28000" | "42501", None) => (
            Kind::Postgres,
            format!(
                "allow the agent's role to replicate: ALTER ROLE {user} REPLICATION, and add a line for \
                `replication` to pg_hba.conf"
            ),
        ),
        ("28000", Some(_)) => (
            Kind::Postgres,
            format!(
                "check that role {user} exists and may log in (ALTER ROLE {user} LOGIN), and that a line \
                of pg_hba.conf lets it connect to this database. If the server requires a client certificate, set \
                postgres.tls_cert_file. If nobody may connect to the database, add it to odoo.exclude"
            ),
        ),
        ("28P01", _) => (
            Kind::Postgres,
            format!("put the password of {user} into postgres.password_file, or into postgres.passfile"),
        ),
        ("53300", None) => (Kind::Postgres, "raise max_wal_senders, or max_connections".to_owned()),
        ("53300", Some(database)) => (
            Kind::Postgres,
            format!(
                "raise max_connections, or the limit of the database or role (ALTER DATABASE {} CONNECTION LIMIT -1), or \
                 run again later; if the database should stay closed, add it to odoo.exclude",
                ident(database)
            ),
        ),
        ("55000", Some(database)) => (
            Kind::Postgres,
            format!(
                "the database accepts no connections. If its DROP was interrupted, run DROP DATABASE {}. If it \
                is closed (ALLOW_CONNECTIONS), leave it out with odoo.exclude",
                ident(database)
            ),
        ),
        ("57P03", _) => (Kind::Postgres, "the server is starting or stopping: run again".to_owned()),
        (POOLER, _) => (Kind::Config, pooler_next().to_owned()),
        _ => (Kind::Postgres, "see the server's log".to_owned()),
    }
}

/// What to do if a pooler answers.
pub fn pooler_next() -> &'static str {
    "connect to the server itself: set postgres.host and postgres.port to PostgreSQL's own; Odoo may keep the pooler"
}

fn without_code(error: &Error, options: &PostgresOptions) -> String {
    use std::io::ErrorKind as E;
    let mut cause = std::error::Error::source(error);
    let mut kind = None;
    while let Some(e) = cause {
        kind = kind.or(e.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
        cause = e.source();
    }
    let port = options.port;
    match (kind, options.socket_dir()) {
        (Some(E::PermissionDenied), Some(dir)) => {
            format!("this user may not use the socket in {}: give it access to this directory", dir.display())
        }
        (Some(E::NotFound | E::ConnectionRefused), Some(dir)) => format!(
            "check that PostgreSQL is running with its socket in {} and port {port} (postgres.host, \
            postgres.port)",
            dir.display()
        ),
        (Some(E::UnexpectedEof | E::ConnectionReset | E::BrokenPipe), _) => {
            "the server closed the connection during the login: see its log".to_owned()
        }
        _ => "check that PostgreSQL runs and listens at this address: postgres.host, postgres.port, firewall"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_database_can_be_excluded_and_a_wrong_password_cannot() {
        let options = PostgresOptions { user: "backup".into(), ..PostgresOptions::default() };
        let next = |code: &str| by_code(code, &options, Some("x")).1;
        for code in ["28000", "42501", "53300", "55000"] {
            assert!(next(code).contains("odoo.exclude"), "{code}: {}", next(code));
        }
        for code in ["28P01", "57P03", "08P01", "3D000"] {
            assert!(!next(code).contains("odoo.exclude"), "{code}: {}", next(code));
        }
        assert!(next("28P01").contains("password_file") && next("08P01").contains("the server itself"));
        assert!(by_code("28000", &options, None).1.contains("REPLICATION"));
    }
}
