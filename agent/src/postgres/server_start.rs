//! A server on a data directory of ours: private socket, no network, started and left running. It obeys the
//! configuration in that directory, which is ours as well; what is said here holds whatever stands there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::disk;
use crate::disk::beneath::Dir;
use crate::environment::{self, Child};
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::postgres::server_stop::SOCKET_DIR_PREFIX;
use crate::postgres::tools::Tools;

/// pg_ctl only starts the server and does not wait for it.
const START_WAIT: Duration = Duration::from_secs(60);

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
    /// What it runs for WAL, whatever its configuration says.
    pub restore_command: Option<String>,
    /// What it finds in its environment, and with it what it runs.
    pub environment: Child,
}

/// Made through its handle, and given away last: nobody can put a link in our way.
fn make_socket_dir(dir: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let (above, name) = (dir.parent().unwrap_or(dir), dir.file_name().unwrap_or_default());
    let made = Dir::open(above).and_then(|above| above.make_dir(name));
    let made = made.map_err(|e| Error::file("create directory", dir, e))?;
    made.give(0o700, owner).map_err(|e| Error::file("give away", dir, e))
}

/// Starts it; the directory of its socket, which is new and private. It may not answer yet.
pub async fn start(server: &ServerStart) -> Result<PathBuf> {
    // Socket paths end at 107 bytes, so it cannot lie beside a data directory anywhere.
    let socket_dir = std::env::temp_dir().join(format!("{SOCKET_DIR_PREFIX}{}", random_hex(6)));
    make_socket_dir(&socket_dir, server.owner)?;
    let log = disk::open_append(&server.log)?;
    disk::give(&log, &server.log, 0o600, server.owner)?;
    let quoted_text = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let quoted = |path: &Path| quoted_text(&path.display().to_string());
    let restore_command = server.restore_command.as_deref();
    let restore_command =
        restore_command.map(|command| format!(" -c restore_command={}", quoted_text(command)));
    // Messages in English: an error of ours may tell which of them it met.
    let options = format!(
        "-c data_directory={} -c listen_addresses= -c unix_socket_directories={} -c port={} -c hot_standby=on \
         -c logging_collector=off -c log_destination=stderr -c ssl=off -c lc_messages=C{}",
        quoted(&server.data_dir),
        quoted(&socket_dir),
        server.port,
        restore_command.unwrap_or_default()
    );
    let mut command = Command::new(server.tools.dir.join("pg_ctl"));
    command.args(["-W", "-s", "-D"]).arg(&server.data_dir).arg("-l").arg(&server.log).arg("-o").arg(options);
    command.arg("start").current_dir("/").env("LC_ALL", "C");
    environment::clean(command.as_std_mut(), server.environment);
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
