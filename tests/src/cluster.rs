//! A private PostgreSQL: own directory, own socket, own port, gone when dropped.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::children;
use crate::data_dir;
use crate::filestore::Seeded;
use crate::installed::{self, Installed, Runner};
use crate::place;

/// How long a server may take until it accepts connections (crash recovery included).
const READY_LIMIT: Duration = Duration::from_secs(120);
/// How long a stop may take before the server is killed.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Below those that Linux takes for connections (`ip_local_port_range`).
const PORTS: std::ops::Range<u16> = 12_000..32_000;
/// How many ports are tried when somebody else takes the one that was free.
const PORT_TRIES: u32 = 5;

/// The superuser of every test cluster.
pub const SUPERUSER: &str = "postgres";

/// What a test may want to differ from a plain cluster.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The PostgreSQL major version; the newest packaged one when absent.
    pub major: Option<u32>,
    /// Ask everybody for this password (SCRAM), on the socket too. Without it everybody is trusted.
    pub password: Option<String>,
    /// Keep fsync on: for tests about durability and for honest benchmarks.
    pub durable: bool,
    /// Size of WAL segments in MiB, where it is not the usual one.
    pub segment_mebibytes: Option<u32>,
    /// Lines for postgresql.conf, over the defaults.
    pub settings: Vec<(String, String)>,
    /// The server's environment, besides what it inherits.
    pub env: Vec<(String, String)>,
}

/// A running private PostgreSQL. Stops and removes itself when dropped, on panic too, and dies
/// with the process that started it.
pub struct Cluster {
    pub(crate) dir: TempDir,
    pub(crate) installed: Installed,
    runner: Runner,
    pub(crate) port: u16,
    pub(crate) password: Option<String>,
    server: Mutex<Option<Child>>,
    env: Vec<(String, String)>,
}

impl Cluster {
    /// A cluster of the newest packaged major version.
    pub fn start_default() -> Cluster {
        Cluster::with(Options::default())
    }

    /// A cluster of this major version; see [`installed::available_majors`].
    pub fn start(major: u32) -> Cluster {
        Cluster::with(Options { major: Some(major), ..Options::default() })
    }

    /// A cluster as described.
    ///
    /// # Panics
    /// When no such version is installed, or the server does not come up; its log is shown.
    pub fn with(options: Options) -> Cluster {
        let installed = installed::find(options.major);
        let runner = Runner::find();
        let above = if options.durable { place::on_disk() } else { place::ours() };
        let dir = tempfile::Builder::new().prefix("server-").tempdir_in(above).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let mut cluster = Cluster {
            dir,
            installed,
            runner,
            port: 0,
            password: options.password.clone(),
            server: Mutex::new(None),
            env: options.env.clone(),
        };
        cluster.own(cluster.dir.path());
        cluster.init(&options);
        for attempt in 1.. {
            cluster.port = free_port();
            cluster.configure(&options);
            match cluster.try_start() {
                Ok(()) => break,
                Err(log) if attempt < PORT_TRIES && log.contains("could not bind") => continue,
                Err(log) => panic!("PostgreSQL did not start in {}:\n{log}", cluster.dir.path().display()),
            }
        }
        cluster
    }

    fn init(&self, options: &Options) {
        if options.password.is_none() && options.segment_mebibytes.is_none() {
            return data_dir::make(&self.installed, self.runner, &self.data_dir());
        }
        let mut arguments = Vec::new();
        arguments.extend(options.segment_mebibytes.map(|size| format!("--wal-segsize={size}")));
        let secret = self.dir.path().join("pw");
        match &options.password {
            Some(password) => {
                fs::write(&secret, password).unwrap();
                self.own(&secret);
                let file = format!("--pwfile={}", secret.display());
                arguments.extend(["-A".to_owned(), "scram-sha-256".to_owned(), file]);
            }
            None => arguments.extend(["-A".to_owned(), "trust".to_owned()]),
        }
        data_dir::init(&self.installed, self.runner, &self.data_dir(), &arguments);
        let _ = fs::remove_file(secret);
    }

    fn configure(&self, options: &Options) {
        let mut lines = vec![
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("port = {}", self.port),
            format!("unix_socket_directories = '{}'", self.dir.path().display()),
            "shared_buffers = '64MB'".to_owned(),
            "max_connections = 60".to_owned(),
            "lc_messages = 'C'".to_owned(),
            "timezone = 'UTC'".to_owned(),
            "log_timezone = 'UTC'".to_owned(),
        ];
        if !options.durable {
            lines.push("fsync = off".to_owned());
            lines.push("synchronous_commit = off".to_owned());
        }
        lines.extend(options.settings.iter().map(|(k, v)| format!("{k} = '{}'", v.replace('\'', "''"))));
        let file = self.data_dir().join("postgresql.auto.conf"); // wins over postgresql.conf
        fs::write(&file, lines.join("\n") + "\n").unwrap();
        self.own(&file);
    }

    /// Starts a stopped or killed server again on the same port.
    pub fn start_again(&self) {
        self.try_start().unwrap_or_else(|log| panic!("PostgreSQL did not start again:\n{log}"));
    }

    /// Starts the server and waits until it answers; else what it logged.
    fn try_start(&self) -> Result<(), String> {
        let deadline = Instant::now() + READY_LIMIT;
        let mut slot = self.server.lock().unwrap();
        assert!(slot.is_none(), "the server is running already");
        loop {
            let log = File::create(self.log_path()).unwrap();
            let mut command = installed::dies_with_us(&self.bin("postgres"));
            command.arg("-D").arg(self.data_dir()).stdin(Stdio::null()).process_group(0);
            command.stdout(log.try_clone().unwrap()).stderr(log);
            command.envs(self.env.iter().cloned());
            self.runner.apply(&mut command);
            let mut child = children::spawn_lasting(command).unwrap();
            while Instant::now() < deadline {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                if self.is_ready(child.id()) {
                    *slot = Some(child);
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
            let log = self.log();
            // the children of a killed postmaster need a moment to notice
            if Instant::now() < deadline && log.contains("pre-existing shared memory block") {
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            return Err(log);
        }
    }

    /// postmaster.pid says "ready" in its last line: no connection (and no password) needed. That
    /// of a killed predecessor still says so, under another process id.
    fn is_ready(&self, pid: u32) -> bool {
        let file = fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap_or_default();
        let mut lines = file.lines();
        lines.next() == Some(pid.to_string().as_str()) && lines.nth(6).is_some_and(|l| l.trim() == "ready")
    }

    /// Stops the server as an operator would (fast shutdown). Fine when it is stopped.
    pub fn stop(&self) {
        self.end(Signal::INT);
    }

    /// Kills the server as a power cut would: nothing is flushed, the next start recovers.
    pub fn kill9(&self) {
        self.end(Signal::KILL);
    }

    /// Stops the server and starts it again on the same port.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    fn end(&self, signal: Signal) {
        let Some(mut child) = self.server.lock().unwrap_or_else(|e| e.into_inner()).take() else { return };
        children::signal(child.id(), signal);
        if children::wait(&mut child, STOP_LIMIT).is_none() {
            children::kill_group(&mut child);
        }
    }

    /// PGDATA.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The process id of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.lock().unwrap().as_ref().map(Child::id)
    }

    /// What the server logged since its last start.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn own(&self, path: &Path) {
        if let Runner::Other { uid, gid } = self.runner {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end(Signal::QUIT); // the directory goes anyway: nothing needs to be flushed
    }
}

/// A port that nobody listened on a moment ago: one that the kernel gives to nobody who did not ask for it,
/// so that a server that stops finds it again when it starts.
pub fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut random = Seeded::new(RandomState::new().build_hasher().finish());
    let ports = std::iter::repeat_with(|| PORTS.start + random.below(PORTS.len() as u64) as u16);
    ports.take(PORTS.len()).find(is_free).expect("no port is free")
}
