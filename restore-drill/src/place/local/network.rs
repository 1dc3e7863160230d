//! The network of the scratch server: a namespace of its own with nothing but a loopback interface, so that
//! no function of the tenant reaches anybody. The server is reached through its socket's path, which works
//! across namespaces. Root can make one; another user only where the kernel lets users make namespaces.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::account::Account;
use crate::process;

const PROBE_LIMIT: Duration = Duration::from_secs(30);
/// Servers before 15 send themselves statistics through the loopback interface. What the shell adds to the
/// environment is taken away again.
const LOOPBACK: &str = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up 2>/dev/null; unset PWD; exec \"$@\"";

/// Which network the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// None.
    Closed,
    /// This machine's, and why.
    Ours(String),
}

impl Network {
    /// The best that can be had here.
    pub(super) async fn probe(account: Account, dir: &Path) -> Network {
        let mut tried = Network::Closed.command(account, Path::new("true"), dir);
        match process::run(&mut tried, PROBE_LIMIT).await {
            Ok(ended) if ended.is_success() => Network::Closed,
            Ok(ended) => Network::Ours(ended.last_words().replace('\n', " | ")),
            Err(e) => Network::Ours(e.what().to_owned()),
        }
    }

    /// A command of PostgreSQL in it, as [`Account::command`].
    pub(super) fn command(&self, account: Account, program: &Path, dir: &Path) -> Command {
        if let Network::Ours(_) = self {
            return account.command(program, dir);
        }
        let mut command = process::command(Path::new("unshare"));
        command.current_dir(dir).env("HOME", dir);
        match account {
            Account::Own => command.args(["--user", "--map-current-user", "--net", "--"]),
            Account::Other { uid, gid } => command
                .args(["--net", "--", "sh", "-c", LOOPBACK, "sh", "setpriv", "--clear-groups"])
                .args(["--reuid".to_owned(), uid.to_string(), "--regid".to_owned(), gid.to_string()])
                .args(["--no-new-privs", "--"]),
        };
        command.arg(program);
        command
    }

    /// For the note of the stage.
    pub(super) fn text(&self) -> String {
        match self {
            Network::Closed => "without a network".to_owned(),
            Network::Ours(why) => format!("with this machine's network, not one of its own: {why}"),
        }
    }
}
