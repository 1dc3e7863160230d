//! Stops a server that [`crate::postgres::server_start`] started, perhaps in an earlier run of this program:
//! immediately and without a checkpoint, if the data directory will be deleted; or with a checkpoint, if the
//! server will be started again.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// How long to wait after SIGINT, which writes a checkpoint; then SIGQUIT follows.
const FAST_WAIT: Duration = Duration::from_secs(600);
/// How long to wait after SIGQUIT; then SIGKILL follows.
const QUIT_WAIT: Duration = Duration::from_secs(20);
/// How long to wait after SIGKILL.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How often the process is checked.
const LOOK: Duration = Duration::from_millis(50);
/// Largest `postmaster.pid` or `postmaster.opts` that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// The prefix of the socket directories that we create.
pub(crate) const SOCKET_DIR_PREFIX: &str = "lifeboat-";

/// Stops the server on this data directory, if one runs, and removes the directory of its socket.
///
/// # Errors
/// `Postgres` if it does not stop.
pub async fn stop_now(data_dir: &Path) -> Result<()> {
    stop(data_dir, &[(Signal::QUIT, QUIT_WAIT), (Signal::KILL, KILL_WAIT)]).await
}

/// The same with a checkpoint: afterwards all changes are in its files.
///
/// # Errors
/// As [`stop_now`].
pub async fn stop_fast(data_dir: &Path) -> Result<()> {
    stop(data_dir, &[(Signal::INT, FAST_WAIT), (Signal::QUIT, QUIT_WAIT), (Signal::KILL, KILL_WAIT)]).await
}

async fn stop(data_dir: &Path, signals: &[(Signal, Duration)]) -> Result<()> {
    let pid = read(&data_dir.join("postmaster.pid"))?;
    let pid = pid.lines().next().and_then(|line| line.trim().parse::<i32>().ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        for (signal, wait) in signals.iter().copied() {
            let begun = clock::instant();
            if runs_on(pid, data_dir) {
                let _ = kill_process(pid, signal); // it may have ended just now
            }
            while runs_on(pid, data_dir) && begun.elapsed() < wait {
                clock::sleep(LOOK).await;
            }
        }
        if runs_on(pid, data_dir) {
            let what = format!(
                "PostgreSQL (process {}) on {} does not stop",
                pid.as_raw_nonzero(),
                data_dir.display()
            );
            return Err(Error::new(Kind::Postgres, what));
        }
    }
    // A server that stopped by itself removed postmaster.pid; postmaster.opts stays.
    let options = read(&data_dir.join("postmaster.opts"))?;
    match socket_dir(&options) {
        Some(dir) if is_his(dir, data_dir)? => disk::remove_tree(dir),
        _ => Ok(()),
    }
}

/// Whether the directory has the same owner as the data directory, who wrote the file that names it.
fn is_his(dir: &Path, data_dir: &Path) -> Result<bool> {
    let uid = |path: &Path| disk::metadata(path).map(|meta| meta.map(|meta| meta.uid()));
    Ok(uid(dir)? == uid(data_dir)?)
}

fn read(path: &Path) -> Result<String> {
    match disk::read_text(path, FILE_BYTES_MAX) {
        Err(e) if e.kind() == Kind::NotFound => Ok(String::new()),
        text => text,
    }
}

/// The socket directory in a server's command line, if we created it.
fn socket_dir(options: &str) -> Option<&Path> {
    let (_, rest) = options.split_once("unix_socket_directories=")?;
    let dir = Path::new(rest.split(['"', '\n']).next()?);
    dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SOCKET_DIR_PREFIX)).then_some(dir)
}

/// Whether the process is a server on this directory: another process may have the number by now, but a
/// server's working directory is its data directory.
fn runs_on(pid: Pid, data_dir: &Path) -> bool {
    let cwd = format!("/proc/{}/cwd", pid.as_raw_nonzero());
    disk::read_link(Path::new(&cwd))
        .ok()
        .flatten()
        .is_some_and(|cwd| data_dir.canonicalize().is_ok_and(|dir| dir == cwd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_directory_of_ours_is_ever_removed() {
        let options = |dir: &str| {
            format!(
                "/usr/lib/postgresql/15/bin/postgres \"-D\" \"/x\" \"-c\" \"unix_socket_directories={dir}\" \"-c\" \"port=5432\"\n"
            )
        };
        assert_eq!(socket_dir(&options("/tmp/lifeboat-ab12")), Some(Path::new("/tmp/lifeboat-ab12")));
        assert_eq!(socket_dir(&options("/var/run/postgresql")), None);
        assert_eq!(socket_dir(""), None);
    }
}
