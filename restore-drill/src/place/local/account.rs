//! The account that runs PostgreSQL's programs in a scratch place, and their environment.
//!
//! The rule: if the drill is root, nothing in the place runs as an account that can read the identity, the
//! credentials or the signing key. And no program of PostgreSQL gets a variable of our environment, which
//! may contain a passphrase or the store's secret key.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::disk::{self, user_named};
use lifeboat::error::{Error, Kind, Result};
use tokio::process::Command;

use crate::process;

/// Accounts that exist where PostgreSQL is installed, or everywhere: the first one that can read no secret
/// runs the server.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];
const ID_LIMIT: Duration = Duration::from_secs(30);

/// The account that runs the server: PostgreSQL refuses to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Own,
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// If we are root, an account that can read none of `secrets`; otherwise our own.
    ///
    /// # Errors
    /// `Refused` if every account can read one.
    pub(crate) fn for_server(secrets: &[PathBuf]) -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        let mut why = Vec::new();
        for name in CANDIDATES {
            match Account::of(name) {
                Ok(account) => match account.reads(secrets)? {
                    None => return Ok(account),
                    Some(path) => why.push(format!("{name} can read {}", path.display())),
                },
                Err(e) => why.push(format!("{}: {}", e.what(), e.causes().join("; "))),
            }
        }
        Err(Error::new(
            Kind::Refused,
            "found no account for the scratch server, which must not run as root",
        )
        .because(why.join("; "))
        .effect(
            "nothing was restored: code of the tenant's owner runs in that server, so its account must not \
                be able to read these files",
        )
        .next("give these files to root with mode 600, or run the drill as its own user"))
    }

    /// Every account that an earlier drill may have used.
    pub(crate) fn all() -> Vec<u32> {
        if !rustix::process::geteuid().is_root() {
            return vec![rustix::process::geteuid().as_raw()];
        }
        let mut out = Vec::new();
        for name in CANDIDATES {
            if let Ok(Account::Other { uid, .. }) = Account::of(name) {
                out.push(uid);
            }
        }
        out
    }

    fn of(name: &str) -> Result<Account> {
        let (uid, gid) = user_named(name)?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("user {name} does not exist on this machine"))
        })?;
        Ok(Account::Other { uid, gid })
    }

    /// The first of these files that it can read, according to their modes.
    fn reads<'a>(&self, files: &'a [PathBuf]) -> Result<Option<&'a PathBuf>> {
        let Account::Other { uid, gid } = *self else { return Ok(None) };
        for path in files {
            let Some(meta) = disk::metadata(path)? else { continue };
            let bit = match (meta.uid() == uid, meta.gid() == gid) {
                (true, _) => 0o400,
                (_, true) => 0o040,
                _ => 0o004,
            };
            if meta.mode() & bit != 0 {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Gives a file or directory to it.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .map_err(|e| Error::file("change the owner of", path, e)),
        }
    }

    /// A command of PostgreSQL with `dir` as its home.
    pub(crate) fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = process::command(program);
        command.current_dir(dir).env("HOME", dir);
        if let Account::Other { uid, gid } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }
}

/// Our name in the system: the name that a server sees at its socket.
pub(crate) async fn our_name() -> Result<String> {
    let ended = process::run(process::command(Path::new("id")).arg("-un"), ID_LIMIT).await?;
    let name = ended.stdout.trim().to_owned();
    match ended.is_success() && !name.is_empty() {
        true => Ok(name),
        false => Err(Error::new(Kind::Postgres, "the system has no name for the user that runs the drill")
            .because(ended.last_words())
            .next("add this user to /etc/passwd: PostgreSQL needs it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_can_read_a_secret_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id.txt");
        disk::write_new_durable(&path, b"AGE-SECRET-KEY-").unwrap();
        let meta = disk::metadata(&path).unwrap().unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode));
        let files = [dir.path().join("absent"), path.clone()];
        let other = Account::Other { uid: meta.uid() + 1, gid: meta.gid() + 1 };
        let group = Account::Other { uid: meta.uid() + 1, gid: meta.gid() };
        mode(0o600).unwrap();
        assert_eq!(group.reads(&files).unwrap(), None);
        mode(0o640).unwrap();
        assert_eq!(group.reads(&files).unwrap(), Some(&path));
        assert_eq!(other.reads(&files).unwrap(), None);
        mode(0o644).unwrap();
        assert_eq!(other.reads(&files).unwrap(), Some(&path));
    }
}
