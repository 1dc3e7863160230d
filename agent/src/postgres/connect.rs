//! How to reach the cluster: one set of options, used for sessions and for PostgreSQL's own
//! client programs alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::process::Command;

use crate::error::Result;
use crate::postgres::password::{self, Secret};
use crate::postgres::quote::conninfo_database;

/// How far the connection is encrypted and the server is checked: libpq's `sslmode`. On a Unix
/// socket it is always [`Tls::Disable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can; nothing is checked.
    #[default]
    Prefer,
    /// Encrypted; the server's certificate is not checked.
    Require,
    /// Encrypted, and the certificate is signed by a known authority.
    VerifyCa,
    /// [`Tls::VerifyCa`], and the certificate is for this host.
    VerifyFull,
}

/// Where the cluster is and who we are there. `Debug` shows no secret: passwords are read from
/// their files when a connection is made.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Host name, address, or the directory of a Unix socket; `None` is `/var/run/postgresql`.
    pub host: Option<String>,
    /// Port, also part of a Unix socket's name.
    pub port: u16,
    /// The role that logs in.
    pub user: String,
    /// The password of a role of our own making; no other is kept in memory.
    pub password: Option<Secret>,
    /// A file that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// A libpq password file (PostgreSQL manual, 34.16); used where `password_file` is `None`.
    pub passfile: Option<PathBuf>,
    /// See [`Tls`].
    pub tls: Tls,
    /// Certificates of the authorities to trust, PEM; `None` takes the system's.
    pub tls_root_cert: Option<PathBuf>,
    /// Where pg_dump and its siblings are looked for first.
    pub bin_dir: Option<PathBuf>,
    /// A connection that is not there after this long is a failure.
    pub connect_timeout: Duration,
    /// The database for questions that concern the whole cluster.
    pub maintenance_database: String,
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
            bin_dir: None,
            connect_timeout: Duration::from_secs(10),
            maintenance_database: "postgres".into(),
        }
    }
}

impl PostgresOptions {
    /// The host as it is configured or assumed.
    pub fn host_text(&self) -> &str {
        self.host.as_deref().unwrap_or("/var/run/postgresql")
    }

    /// The directory of the Unix socket, where the host is one.
    pub fn socket_dir(&self) -> Option<&Path> {
        let host = self.host_text();
        host.starts_with('/').then(|| Path::new(host))
    }

    /// `database "shop" at db1:5432 as odoo`: for every error.
    pub fn place(&self, database: &str) -> String {
        format!("database {database:?} at {}:{} as {}", self.host_text(), self.port, self.user)
    }

    /// The same for sqlx. Nothing is taken from libpq's environment but what
    /// [`password::find`] says.
    pub(crate) fn for_sqlx(&self, database: &str) -> Result<PgConnectOptions> {
        let mut to = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(&self.user)
            .database(database)
            .application_name("lifeboat")
            .disable_statement_logging();
        to = match self.socket_dir() {
            Some(dir) => to.socket(dir).ssl_mode(PgSslMode::Disable),
            None => to.host(self.host_text()).ssl_mode(match self.tls {
                Tls::Disable => PgSslMode::Disable,
                Tls::Prefer => PgSslMode::Prefer,
                Tls::Require => PgSslMode::Require,
                Tls::VerifyCa => PgSslMode::VerifyCa,
                Tls::VerifyFull => PgSslMode::VerifyFull,
            }),
        };
        if let Some(root) = &self.tls_root_cert {
            to = to.ssl_root_cert(root);
        }
        if let Some(password) = password::find(self, database)? {
            to = to.password(&password);
        }
        Ok(to)
    }

    /// The libpq environment of a client program for this database. It holds the password, so
    /// it belongs into a child's environment and nowhere else.
    pub fn child_env(&self, database: &str) -> Result<Vec<(String, String)>> {
        let sslmode = match self.tls {
            Tls::Disable => "disable",
            Tls::Prefer => "prefer",
            Tls::Require => "require",
            Tls::VerifyCa => "verify-ca",
            Tls::VerifyFull => "verify-full",
        };
        let seconds = self.connect_timeout.as_secs().max(2).to_string(); // libpq takes no less
        let port = self.port.to_string();
        let mut env = vec![
            ("PGHOST", self.host_text()),
            ("PGPORT", &port),
            ("PGUSER", &self.user),
            ("PGDATABASE", database),
            ("PGAPPNAME", "lifeboat"),
            ("PGCONNECT_TIMEOUT", &seconds),
            ("PGSSLMODE", sslmode),
            // A server's defaults for interactive users must not end a long dump.
            ("PGOPTIONS", "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"),
            ("LC_ALL", "C"), // messages that we can tell apart
        ];
        let root = self.tls_root_cert.as_deref().or_else(|| self.system_roots());
        let root = root.map(|path| path.to_string_lossy().into_owned());
        if let Some(path) = &root {
            env.push(("PGSSLROOTCERT", path));
        }
        let password = password::find(self, database)?;
        if let Some(password) = &password {
            env.push(("PGPASSWORD", password));
        }
        Ok(env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// The system's list of authorities, which the session trusts by default; libpq's default is
    /// a file in the home directory, and its `system` exists since 16 only.
    fn system_roots(&self) -> Option<&'static Path> {
        let verifies = matches!(self.tls, Tls::VerifyCa | Tls::VerifyFull);
        let lists =
            ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
        lists.into_iter().map(Path::new).find(|path| verifies && path.exists())
    }

    /// A client program with [`PostgresOptions::child_env`] and no other `PG*` variable.
    pub(crate) fn command(&self, program: &Path, database: &str) -> Result<Command> {
        let mut command = Command::new(program);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("PG") {
                command.env_remove(key);
            }
        }
        command.envs(self.child_env(database)?).arg("--no-password");
        Ok(command)
    }

    /// `--dbname=...` for programs that connect only when told a database (pg_restore).
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
            bin_dir: postgres.bin_dir,
            connect_timeout: postgres.connect_timeout,
            maintenance_database: postgres.maintenance_database,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_get_every_parameter_and_debug_shows_no_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        crate::disk::write_new_durable(&path, b"hunter2\n").unwrap();
        let options = PostgresOptions {
            host: Some("db1".into()),
            password_file: Some(path),
            tls: Tls::VerifyCa,
            ..PostgresOptions::default()
        };
        let env = options.child_env("shop").unwrap();
        let get = |key: &str| env.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        assert_eq!(get("PGHOST"), Some("db1"));
        assert_eq!(get("PGDATABASE"), Some("shop"));
        assert_eq!(get("PGSSLMODE"), Some("verify-ca"));
        assert_eq!(get("PGPASSWORD"), Some("hunter2"));
        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(options.place("shop"), "database \"shop\" at db1:5432 as postgres");
    }
}
