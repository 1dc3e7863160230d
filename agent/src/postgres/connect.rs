//! How to reach the cluster: one description for sessions, replication and PostgreSQL's own client
//! programs. If they differed, `doctor` could promise what a backup then cannot do.
//!
//! It comes from the configuration only. libpq's environment (`PGSSLCERT`, `PGSERVICE`, `PGOPTIONS`, …)
//! and its files below `~/.postgresql` are never used; only the password falls back to them
//! ([`crate::postgres::password`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::postgres::quote::conninfo_database;

/// A password that is only in memory.
#[derive(Clone)]
pub struct Secret(pub(super) String);

impl Secret {
    /// Keeps it.
    pub fn new(password: String) -> Secret {
        Secret(password)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a password")
    }
}

/// Whether the connection is encrypted and the server's certificate is checked: libpq's `sslmode`. On a
/// Unix socket it is always [`Tls::Disable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Never encrypted.
    Disable,
    /// Encrypted if the server offers it; the certificate is not checked.
    #[default]
    Prefer,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted, and the certificate is signed by a known authority.
    VerifyCa,
    /// [`Tls::VerifyCa`], and the certificate is for this host.
    VerifyFull,
}

impl Tls {
    /// Its name in the configuration and in libpq.
    pub fn name(self) -> &'static str {
        match self {
            Tls::Disable => "disable",
            Tls::Prefer => "prefer",
            Tls::Require => "require",
            Tls::VerifyCa => "verify-ca",
            Tls::VerifyFull => "verify-full",
        }
    }
}

/// Where the cluster is and as which role we connect. `Debug` shows no secret: passwords are read from
/// their files when a connection is made.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Host name, address, or the directory of a Unix socket; `None` is `/var/run/postgresql`.
    pub host: Option<String>,
    /// Port, also part of a Unix socket's name.
    pub port: u16,
    /// The role that logs in.
    pub user: String,
    /// The password of a role that Lifeboat created; no other password is kept in memory.
    pub password: Option<Secret>,
    /// A file that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// A libpq password file (PostgreSQL manual, 34.16); used without a `password_file`.
    pub passfile: Option<PathBuf>,
    /// See [`Tls`].
    pub tls: Tls,
    /// Certificates of the authorities to trust, PEM; `None` means the system's.
    pub tls_root_cert: Option<PathBuf>,
    /// Lifeboat's client certificate, PEM, for a server that requires one.
    pub tls_cert: Option<PathBuf>,
    /// The key of `tls_cert`, PEM; set if and only if `tls_cert` is.
    pub tls_key: Option<PathBuf>,
    /// Where pg_dump and the other programs are searched for first.
    pub bin_dir: Option<PathBuf>,
    /// The time limit of connecting.
    pub connect_timeout: Duration,
    /// The database for questions that concern the whole cluster.
    pub maintenance_database: String,
    /// Stops the sessions: cancels their current statement in the server.
    pub stop: CancellationToken,
}

impl Default for PostgresOptions {
    fn default() -> PostgresOptions {
        PostgresOptions {
            host: None,
            port: 5432,
            user: "postgres".into(),
            password: None,
            password_file: None,
            passfile: None,
            tls: Tls::default(),
            tls_root_cert: None,
            tls_cert: None,
            tls_key: None,
            bin_dir: None,
            connect_timeout: Duration::from_secs(10),
            maintenance_database: "postgres".into(),
            stop: CancellationToken::new(),
        }
    }
}

impl PostgresOptions {
    /// The same, with sessions whose statement is cancelled when `stop` is.
    pub fn stopped_by(self, stop: &CancellationToken) -> PostgresOptions {
        PostgresOptions { stop: stop.clone(), ..self }
    }

    /// The same for work that must finish although we were told to stop: undoing, removing, publishing as a
    /// whole. Only its time limits end it.
    pub fn to_the_end(&self) -> PostgresOptions {
        self.clone().stopped_by(&CancellationToken::new())
    }

    /// The configured host, or the default.
    pub fn host_text(&self) -> &str {
        self.host.as_deref().unwrap_or("/var/run/postgresql")
    }

    /// The directory of the Unix socket, if the host is one.
    pub fn socket_dir(&self) -> Option<&Path> {
        let host = self.host_text();
        host.starts_with('/').then(|| Path::new(host))
    }

    /// `database "shop" at db1:5432 as odoo`: for every error.
    pub fn place(&self, database: &str) -> String {
        format!("database {database:?} at {}:{} as {}", self.host_text(), self.port, self.user)
    }

    /// The same for replication.
    pub(crate) fn place_of_replication(&self) -> String {
        format!("replication at {}:{} as {}", self.host_text(), self.port, self.user)
    }

    /// `--dbname=...` for programs that connect only if they are given a database (pg_restore).
    pub(crate) fn dbname_flag(database: &str) -> String {
        format!("--dbname={}", conninfo_database(database))
    }
}

impl From<&crate::config::Postgres> for PostgresOptions {
    fn from(config: &crate::config::Postgres) -> PostgresOptions {
        use crate::config::Tls as Wanted;
        let postgres = config.clone();
        let (tls, tls_root_cert) = match postgres.tls {
            Wanted::Disable => (Tls::Disable, None),
            Wanted::Prefer => (Tls::Prefer, None),
            Wanted::Require => (Tls::Require, None),
            Wanted::VerifyCa { ca_file } => (Tls::VerifyCa, ca_file),
            Wanted::VerifyFull { ca_file } => (Tls::VerifyFull, ca_file),
        };
        PostgresOptions {
            host: postgres.host,
            port: postgres.port,
            user: postgres.user,
            password: None,
            password_file: postgres.password_file,
            passfile: postgres.passfile,
            tls,
            tls_root_cert,
            tls_cert: postgres.tls_cert_file,
            tls_key: postgres.tls_key_file,
            bin_dir: postgres.bin_dir,
            connect_timeout: postgres.connect_timeout,
            maintenance_database: postgres.maintenance_database,
            stop: CancellationToken::new(),
        }
    }
}
