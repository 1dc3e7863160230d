//! The account that PostgreSQL's programs run as.

use std::path::Path;
use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};
use tokio::process::Command;

use crate::process;
use crate::stages::scratch::SUPERUSER;

/// The account that the server runs as: PostgreSQL refuses to run as root.
pub(crate) enum Account {
    Own,
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// User postgres where we are root, else our own.
    pub(crate) async fn for_server() -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let mut numbers = [0u32; 2];
        for (number, flag) in numbers.iter_mut().zip(["-u", "-g"]) {
            let mut id = Command::new("id");
            id.args([flag, SUPERUSER]);
            let ended = process::run(&mut id, Duration::from_secs(30)).await?;
            *number = ended.stdout.trim().parse().map_err(|_| {
                let what = format!("there is no user {SUPERUSER} on this machine");
                Error::new(Kind::Postgres, what)
                    .because(ended.last_words())
                    .next("install PostgreSQL, or run the drill as another user than root")
            })?;
        }
        Ok(Account::Other { uid: numbers[0], gid: numbers[1] })
    }

    /// Its number.
    pub(crate) fn uid(&self) -> u32 {
        match self {
            Account::Own => rustix::process::geteuid().as_raw(),
            Account::Other { uid, .. } => *uid,
        }
    }

    /// Gives it a file or directory.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .map_err(|e| Error::file("change the owner of", path, e)),
        }
    }

    /// A command of PostgreSQL's, without what the environment may say about other servers.
    pub(crate) fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Account::Other { uid, gid } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }
}
