//! Servers of other stores that a test starts: found by a variable or on the PATH, stopped with the test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How many ports are tried: another program may take one in between.
const PORTS_MAX: usize = 5;

/// The program that `variable` names, else `name` on the PATH; the error says what to install.
pub(crate) fn find(variable: &str, name: &str, package: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(name));
    let named = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named
        .into_iter()
        .chain(on_path)
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{name} is not here: install {package}, or set {variable}"))
}

/// A server on a port of 127.0.0.1; killed when dropped.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Emulator {
    /// Starts the command that `command` makes for a port, and waits until the server listens.
    pub(crate) fn start(mut command: impl FnMut(u16) -> Command) -> Emulator {
        for _ in 0..PORTS_MAX {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = command(address.port());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
            let mut emulator = Emulator { child, address };
            if emulator.listens() {
                return emulator;
            }
        }
        panic!("an emulator does not listen within {START_LIMIT:?}");
    }

    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
