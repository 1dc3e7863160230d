//! A program in a network namespace without a way out: it has a loopback interface and nothing else, so no
//! packet can leave, whatever the program does.
//!
//! **How we still talk to it**: it inherits a listening socket of ours as descriptor 3, as systemd would pass
//! it (`LISTEN_FDS`; Odoo accepts connections there). A socket stays in the namespace in which it was made.
//! So native code could turn just this one against us; code in Odoo's own language (server actions,
//! automations, scheduled actions) cannot.
//!
//! **What is counted**: the kernel counts connections that find no route. Name servers are replaced by an
//! address without a route, so that a look-up counts, too. Names that neutralizing itself writes into the
//! copy (`mail.invalid`) lead to this machine, where nothing listens.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lifeboat::disk;
use lifeboat::error::{Error, Result};
use tokio::process::Command;

use crate::place::Room;
use crate::place::local::account::Account;
use crate::process;
use crate::report::traded::Traffic;

const PROBE_LIMIT: Duration = Duration::from_secs(30);
const PROC_BYTES_MAX: u64 = 1024 * 1024;
/// Address space, processes of the account, seconds of CPU, the size of a file (its log, too); no core files
/// with restored data.
const LIMITS: [&str; 5] = ["--as=6442450944", "--nproc=4096", "--cpu=3600", "--fsize=2147483648", "--core=0"];

/// Closes the network; `$1` has the files that replace those of /etc. A socket with a path works across
/// network namespaces, so those of this machine's services are hidden (name services, PostgreSQL, Docker, …),
/// and so are the data directories of its own clusters, which the server's account may read.
const CLOSE: &str = r#"set -e
etc=$1; shift
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
hostname drill || true
for file in hosts resolv.conf; do
    [ ! -e "/etc/$file" ] || mount --bind "$etc/$file" "/etc/$file"
done
resolv=$(readlink -f /etc/resolv.conf || true)
for hidden in /run/* /var/run/* /var/lib/postgresql /var/lib/pgsql /tmp/.s.*; do
    case "$etc" in "$hidden"/*) continue ;; esac
    if [ -L "$hidden" ]; then continue
    elif [ -d "$hidden" ]; then mount -t tmpfs -o mode=755 none "$hidden"
    elif [ -S "$hidden" ]; then mount --bind "$etc/hosts" "$hidden"
    fi
done
if [ ! -e /etc/resolv.conf ] && [ -n "$resolv" ]; then
    mkdir -p "${resolv%/*}"
    cp "$etc/resolv.conf" "$resolv"
fi
"#;
/// Hands the socket on; `exec` keeps the process number, which must be that of the program.
const HAND_ON: &str = r#"exec 3<&0 </dev/null
LISTEN_PID=$$ LISTEN_FDS=1
export LISTEN_PID LISTEN_FDS
exec "$@"
"#;
const HOSTS: &str = "127.0.0.1 localhost drill mail.invalid webhook.invalid\n::1 localhost\n";
/// 192.0.2.1 is for documentation (RFC 5737): nobody has it.
const RESOLV: &str = "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n";

/// A network namespace of one's own, for one program.
#[derive(Clone, Debug)]
pub struct Network {
    /// The files that replace those of /etc.
    etc: PathBuf,
}

impl Network {
    /// Tries it out, with files in `dir`; or why it cannot be had.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub async fn probe(room: &Room, dir: &Path) -> Result<std::result::Result<Network, String>> {
        if room.account == Account::Own {
            let why = "only root can run Odoo as an account that reads neither the identity nor a key";
            return Ok(Err(why.to_owned()));
        }
        disk::write_new_durable(&dir.join("hosts"), HOSTS.as_bytes())?;
        disk::write_new_durable(&dir.join("resolv.conf"), RESOLV.as_bytes())?;
        let mut command = unshare(&format!("{CLOSE}exec \"$@\""), dir);
        Ok(match process::run(command.arg("true"), PROBE_LIMIT).await {
            Ok(ended) if ended.is_success() => Ok(Network { etc: dir.to_owned() }),
            Ok(ended) => Err(ended.last_words().replace('\n', " | ")),
            Err(e) => Err(e.what().to_owned()),
        })
    }

    /// The command that starts a program as the account of the place, with limits, and with the listener as
    /// descriptor 3. When the thread ends that starts it, it is killed, and everything that it has started.
    pub fn command(&self, room: &Room, words: &[String], listener: TcpListener) -> Command {
        let mut command = unshare(&format!("{CLOSE}{HAND_ON}"), &self.etc);
        command.arg("setpriv");
        if let Account::Other { uid, gid } = room.account {
            command.args(["--reuid".to_owned(), uid.to_string(), "--regid".to_owned(), gid.to_string()]);
            command.arg("--clear-groups");
        }
        // set again: the kernel forgets it where the account changes
        command.args(["--no-new-privs", "--pdeathsig", "KILL", "--", "prlimit"]).args(LIMITS).arg("--");
        command.args(words).stdin(Stdio::from(OwnedFd::from(listener)));
        command
    }
}

/// `sh -c SCRIPT sh ETC` in namespaces of its own, as their first process: when it ends, the kernel ends all
/// others in them.
fn unshare(script: &str, etc: &Path) -> Command {
    let mut command = process::command(Path::new("setpriv"));
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--mount", "--uts", "--ipc"]);
    command
        .args(["--pid", "--mount-proc", "--fork", "--kill-child", "--", "sh", "-c", script, "sh"])
        .arg(etc);
    command
}

/// What the namespace of a process has sent until now.
///
/// # Errors
/// If the kernel's files cannot be read.
pub fn traffic(pid: u32) -> Result<Traffic> {
    let read = |name: &str| disk::read_text(Path::new(&format!("/proc/{pid}/net/{name}")), PROC_BYTES_MAX);
    let (dev, snmp, snmp6) = (read("dev")?, read("snmp")?, read("snmp6").unwrap_or_default());
    parse(&dev, &snmp, &snmp6).ok_or_else(|| {
        Error::new(lifeboat::error::Kind::Io, format!("the network counters of process {pid} are incomplete"))
    })
}

fn parse(dev: &str, snmp: &str, snmp6: &str) -> Option<Traffic> {
    let mut traffic = Traffic::default();
    for line in dev.lines().skip(2) {
        let (name, counters) = line.split_once(':')?;
        traffic.interfaces.push(name.trim().to_owned());
        if name.trim() != "lo" {
            // 8 columns of what was received; then bytes and packets that were sent
            traffic.packets_out += counters.split_whitespace().nth(9)?.parse::<u64>().ok()?;
        }
    }
    let mut ip = snmp.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (ip.next()?, ip.next()?);
    let at = names.split_whitespace().position(|name| name == "OutNoRoutes")?;
    traffic.attempts = values.split_whitespace().nth(at)?.parse().ok()?;
    for line in snmp6.lines() {
        if let Some(value) = line.strip_prefix("Ip6OutNoRoutes") {
            traffic.attempts += value.trim().parse::<u64>().ok()?;
        }
    }
    Some(traffic)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo:     100       3    0    0    0     0          0         0      100       3    0    0    0     0       0          0\n";
    const SNMP: &str =
        "Ip: Forwarding OutRequests OutNoRoutes ReasmTimeout\nIp: 2 9 4 0\nIcmp: InMsgs\nIcmp: 0\n";

    #[test]
    fn loopback_is_no_way_out_and_every_other_interface_is() {
        let found = parse(DEV, SNMP, "Ip6OutNoRoutes                  \t2\n").unwrap();
        assert_eq!((found.interfaces, found.packets_out, found.attempts), (vec!["lo".to_owned()], 0, 6));
        let more = format!("{DEV}  eth0: 1 2 0 0 0 0 0 0 500 7 0 0 0 0 0 0\n");
        let found = parse(&more, SNMP, "").unwrap();
        assert_eq!((found.interfaces.len(), found.packets_out, found.attempts), (2, 7, 4));
        assert_eq!(parse(DEV, "Ip: A\n", ""), None);
    }
}
