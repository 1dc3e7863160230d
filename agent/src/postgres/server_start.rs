//! A server on a data directory of ours: private socket, no network, started and left running. It obeys the
//! configuration in that directory, which is ours as well; what is said here holds whatever stands there.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::postgres::server_stop::SOCKET_DIR_PREFIX;
use crate::postgres::tools::Tools;

/// pg_ctl only starts the server and does not wait for it.
const START_WAIT: Duration = Duration::from_secs(60);

/// What of root's environment a server of another user gets beside names of ours and of the stores: what its
/// `restore_command` needs to find the repository.
const FOR_OTHERS: [&str; 9] = [
    "PATH",
    "TMPDIR",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];
/// Names of ours and of the stores begin with these.
const OURS: [&str; 4] = ["LIFEBOAT_", "AWS_", "AZURE_", "GOOGLE_"];
/// What the name of a secret has in it; the name of a file that holds one is none.
const SECRET: [&str; 5] = ["SECRET", "KEY", "TOKEN", "PASS", "CREDENTIAL"];

/// What to start.
#[derive(Clone, Debug)]
pub struct ServerStart {
    /// Whose `pg_ctl` and `postgres`.
    pub tools: Tools,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where what it says is appended.
    pub log: PathBuf,
    /// Its port.
    pub port: u16,
    /// User and group to run as, where we are root.
    pub owner: Option<(u32, u32)>,
}

/// Starts it; the directory of its socket, which is new and private. It may not answer yet.
pub async fn start(server: &ServerStart) -> Result<PathBuf> {
    // Socket paths end at 107 bytes, so it cannot lie beside a data directory anywhere.
    let socket_dir = std::env::temp_dir().join(format!("{SOCKET_DIR_PREFIX}{}", random_hex(6)));
    disk::create_new_dir(&socket_dir, 0o700)?;
    disk::make_dir(&socket_dir, 0o700, server.owner)?;
    let log = disk::open_append(&server.log)?;
    disk::give(&log, &server.log, 0o600, server.owner)?;
    let quoted = |path: &std::path::Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
    // Messages in English: an error of ours may tell which of them it met.
    let options = format!(
        "-c data_directory={} -c listen_addresses= -c unix_socket_directories={} -c port={} -c hot_standby=on \
         -c logging_collector=off -c log_destination=stderr -c ssl=off -c lc_messages=C",
        quoted(&server.data_dir),
        quoted(&socket_dir),
        server.port
    );
    let mut command = Command::new(server.tools.dir.join("pg_ctl"));
    command.args(["-W", "-s", "-D"]).arg(&server.data_dir).arg("-l").arg(&server.log).arg("-o").arg(options);
    command.arg("start").current_dir("/").env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_others = server.owner.is_some() && !is_for_others(&text);
        if text.starts_with("PG") || is_others {
            command.env_remove(&name);
        }
    }
    if let Some((uid, gid)) = server.owner {
        command.uid(uid).gid(gid);
    }
    // The server inherits what pg_ctl has: a pipe would stay open as long as it runs.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let cannot =
        || Error::new(Kind::Postgres, format!("cannot start PostgreSQL on {}", server.data_dir.display()));
    let status = tokio::time::timeout(START_WAIT, command.status())
        .await
        .map_err(|_| cannot().because("pg_ctl does not end"))?
        .map_err(|e| cannot().because(Error::file("run", &server.tools.dir.join("pg_ctl"), e)))?;
    match status.success() {
        true => Ok(socket_dir),
        false => Err(cannot().because(status.to_string()).next(format!("see {}", server.log.display()))),
    }
}

/// Whether a variable of this name is handed to a server of another user: no secret is, which everybody
/// could read who runs code in that server.
fn is_for_others(name: &str) -> bool {
    let is_ours = OURS.iter().any(|prefix| name.starts_with(prefix)) && !is_secret(name);
    is_ours || FOR_OTHERS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether a variable of this name holds a secret of ours or of a store.
pub fn is_secret(name: &str) -> bool {
    let is_place =
        ["_FILE", "_FILES", "_URI", "APPLICATION_CREDENTIALS"].iter().any(|end| name.ends_with(end));
    OURS.iter().any(|prefix| name.starts_with(prefix))
        && SECRET.iter().any(|part| name.contains(part))
        && !is_place
        && name != "LIFEBOAT_SIGNING_TRUSTED_KEYS"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_users_server_gets_no_secret_and_what_finds_the_repository() {
        for secret in
            ["LIFEBOAT_PASSPHRASE", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY"]
        {
            assert!(is_secret(secret) && !is_for_others(secret), "{secret}");
        }
        for needed in [
            "PATH",
            "https_proxy",
            "LIFEBOAT_REPOSITORY_URL",
            "LIFEBOAT_SEAL_IDENTITY_FILES",
            "LIFEBOAT_SIGNING_TRUSTED_KEYS",
            "AWS_REGION",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ] {
            assert!(is_for_others(needed), "{needed}");
        }
        assert!(!is_for_others("HOME") && !is_for_others("MYSQL_PWD"));
    }
}
