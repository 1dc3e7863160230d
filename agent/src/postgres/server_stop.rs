//! Ending a server that [`crate::postgres::server_start`] started, perhaps in another life of this
//! program: at once, without a checkpoint, for a data directory that is thrown away.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// After SIGQUIT; then it is killed.
const QUIT_WAIT: Duration = Duration::from_secs(20);
/// After SIGKILL.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Largest `postmaster.pid` that is read.
const PID_FILE_BYTES_MAX: u64 = 64 << 10;
/// How the directories of sockets are called that we made.
pub(crate) const SOCKET_DIR_PREFIX: &str = "lifeboat-";

/// Ends the server on this data directory, where one runs, and removes the directory of its socket.
///
/// # Errors
/// `Postgres` where it does not end.
pub async fn stop_now(data_dir: &Path) -> Result<()> {
    let text = match disk::read_text(&data_dir.join("postmaster.pid"), PID_FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(e) if e.kind() == Kind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.trim().parse::<i32>().ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        for (signal, wait) in [(Signal::QUIT, QUIT_WAIT), (Signal::KILL, KILL_WAIT)] {
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
                "PostgreSQL (process {}) on {} does not end",
                pid.as_raw_nonzero(),
                data_dir.display()
            );
            return Err(Error::new(Kind::Postgres, what));
        }
    }
    let socket_dir = lines.nth(3).map(Path::new).filter(|dir| {
        dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SOCKET_DIR_PREFIX))
    });
    match socket_dir {
        Some(dir) => disk::remove_tree(dir),
        None => Ok(()),
    }
}

/// Whether the process is a server on this directory: a number alone may be anybody's by now, but a
/// server's working directory is its data directory.
fn runs_on(pid: Pid, data_dir: &Path) -> bool {
    let cwd = format!("/proc/{}/cwd", pid.as_raw_nonzero());
    disk::read_link(Path::new(&cwd))
        .ok()
        .flatten()
        .is_some_and(|cwd| data_dir.canonicalize().is_ok_and(|dir| dir == cwd))
}
