//! Starts a server on a data directory of ours, with a private socket and no network, and leaves it
//! running. It reads the configuration in that directory, which is also ours; the settings given here win
//! over it.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
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
    /// The `pg_ctl` and `postgres` to use.
    pub tools: Tools,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The file to which its log is appended.
    pub log: PathBuf,
    /// Its port.
    pub port: u16,
    /// User and group to run as, if we are root.
    pub owner: Option<(u32, u32)>,
    /// Its `restore_command`; wins over its configuration.
    pub restore_command: Option<String>,
    /// The environment of the server and of the commands that it runs.
    pub environment: Child,
}

/// Created through a directory handle, and given to its owner last, so that nobody can place a link in our
/// way.
fn make_socket_dir(dir: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let (above, name) = (dir.parent().unwrap_or(dir), dir.file_name().unwrap_or_default());
    let made = Dir::open(above).and_then(|above| above.make_dir(name));
    let made = made.map_err(|e| Error::file("create directory", dir, e))?;
    made.give(0o700, owner).map_err(|e| Error::file("give away", dir, e))
}

/// Writes the path of the socket directory into the data directory before it is created, so that the
/// cleanup after a killed run finds it ([`crate::postgres::server_stop`]). A running server writes its own
/// line there.
fn note_socket_dir(data_dir: &Path, socket_dir: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let path = data_dir.join("postmaster.opts");
    let gone = || Error::file("open", data_dir, std::io::ErrorKind::NotFound.into());
    let dir = Dir::open_absolute(data_dir)?.ok_or_else(gone)?;
    let mut file =
        dir.open_or_create(Path::new("postmaster.opts")).map_err(|e| Error::file("open", &path, e))?;
    let text = format!("\"unix_socket_directories={}\"\n", socket_dir.display());
    let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
    written.map_err(|e| Error::file("write", &path, e))?;
    disk::give(&file, &path, 0o600, owner)
}

/// The log file of the server's user; root does not give it a file that belonged to another user.
fn make_log(log: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let (above, name) = (log.parent().unwrap_or(log), Path::new(log.file_name().unwrap_or_default()));
    let gone = || Error::file("open", above, std::io::ErrorKind::NotFound.into());
    let above = Dir::open_absolute(above)?.ok_or_else(gone)?;
    let file = above.open_or_create(name).map_err(|e| Error::file("open", log, e))?;
    let uid = file.metadata().map_err(|e| Error::file("look at", log, e))?.uid();
    if owner.is_some_and(|(owner, _)| ![owner, rustix::process::geteuid().as_raw()].contains(&uid)) {
        return Err(Error::new(Kind::Refused, format!("{} belongs to user {uid}", log.display()))
            .effect("no server was started")
            .next("check this file and move it away"));
    }
    disk::give(&file, log, 0o600, owner)
}

/// Starts it; returns the directory of its socket, which is new and private. It may not answer yet.
pub async fn start(server: &ServerStart) -> Result<PathBuf> {
    // A socket path has at most 107 bytes, so the socket cannot always be beside the data directory.
    let socket_dir = std::env::temp_dir().join(format!("{SOCKET_DIR_PREFIX}{}", random_hex(6)));
    note_socket_dir(&server.data_dir, &socket_dir, server.owner)?;
    make_socket_dir(&socket_dir, server.owner)?;
    make_log(&server.log, server.owner)?;
    let quoted_text = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let quoted = |path: &Path| quoted_text(&path.display().to_string());
    let restore_command = server.restore_command.as_deref();
    let restore_command =
        restore_command.map(|command| format!(" -c restore_command={}", quoted_text(command)));
    // Messages in English: our errors may depend on which one appeared.
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
    // The server inherits pg_ctl's files: a pipe would stay open as long as the server runs.
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
