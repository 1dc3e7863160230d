//! The environment of PostgreSQL's own programs: the connection as libpq variables, and nothing else of ours.

use std::path::Path;

use tokio::process::Command;

use crate::error::Result;
use crate::postgres::connect::{PostgresOptions, Tls};
use crate::postgres::password;
use crate::postgres::safe_settings;
use crate::postgres::tools::{Tools, clean_command};

/// A path that cannot exist, for files that are not configured: libpq would otherwise search `~/.postgresql`.
const NOWHERE: &str = "/dev/null/none";

impl PostgresOptions {
    /// A client program with [`PostgresOptions::child_env`].
    pub(crate) fn command(&self, tools: &Tools, path: &Path, database: &str) -> Result<Command> {
        let mut command = clean_command(path);
        command.envs(self.child_env(tools.major, database)?).arg("--no-password");
        Ok(command)
    }

    /// The libpq environment of a client program of the server's major version for this database. It contains
    /// the password: use it only as a child's environment.
    fn child_env(&self, major: u32, database: &str) -> Result<Vec<(String, String)>> {
        let text = |path: Option<&Path>| path.unwrap_or(Path::new(NOWHERE)).to_string_lossy().into_owned();
        let seconds = self.connect_timeout.as_secs().max(2); // libpq's minimum
        let mut env = vec![
            ("PGHOST", self.host_text().to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", database.to_owned()),
            ("PGAPPNAME", "lifeboat".to_owned()),
            ("PGCONNECT_TIMEOUT", seconds.to_string()),
            ("PGSSLMODE", self.tls.name().to_owned()),
            ("PGSSLROOTCERT", text(self.tls_root_cert.as_deref().or_else(|| self.system_roots()))),
            ("PGSSLCERT", text(self.tls_cert.as_deref())),
            ("PGSSLKEY", text(self.tls_key.as_deref())),
            ("PGSSLCRL", text(None)),
            ("PGPASSFILE", text(None)),
            ("PGGSSENCMODE", "disable".to_owned()),
            ("PGOPTIONS", safe_settings::for_program(major)),
        ];
        if let Some(password) = password::find(self, database)? {
            env.push(("PGPASSWORD", password));
        }
        Ok(env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The system's list of certificate authorities, which a session trusts by default. libpq's default is a
    /// file in the home directory, and its `system` exists only since 16.
    fn system_roots(&self) -> Option<&'static Path> {
        let verifies = matches!(self.tls, Tls::VerifyCa | Tls::VerifyFull);
        let lists =
            ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
        lists.into_iter().map(Path::new).find(|path| verifies && path.exists())
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
            tls_cert: Some("/etc/lifeboat/client.crt".into()),
            ..PostgresOptions::default()
        };
        let env = options.child_env(15, "shop").unwrap();
        let get = |key: &str| env.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        assert_eq!(get("PGHOST"), Some("db1"));
        assert_eq!(get("PGDATABASE"), Some("shop"));
        assert_eq!(get("PGSSLMODE"), Some("verify-ca"));
        assert_eq!(get("PGSSLCERT"), Some("/etc/lifeboat/client.crt"));
        assert_eq!(get("PGSSLKEY"), Some(NOWHERE), "and never one below ~/.postgresql");
        assert_eq!(get("PGPASSWORD"), Some("hunter2"));
        assert!(get("PGOPTIONS").unwrap().contains("idle_session_timeout=0"));
        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(options.place("shop"), "database \"shop\" at db1:5432 as postgres");
    }
}
