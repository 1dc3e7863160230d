//! A server on a data directory that stays: that of a cluster kept for the next run, or one that
//! was restored. Private socket, stopped when dropped.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_tests::cluster::free_port;
use lifeboat_tests::installed::{self, Installed, Runner};
use lifeboat_tests::{Program, children};
use rustix::process::Signal;
use tempfile::TempDir;

/// How long a start may take, recovery and replay included.
const START_LIMIT: Duration = Duration::from_secs(600);
const STOP_LIMIT: Duration = Duration::from_secs(120);
/// How long a client program may run.
const CLIENT_LIMIT: Duration = Duration::from_secs(900);

/// What is the same in every server here: nothing of its own accord, so that both programs find
/// the same files, and WAL that stays.
const SETTINGS: [(&str, &str); 12] = [
    ("listen_addresses", ""),
    ("shared_buffers", "256MB"),
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "16GB"),
    ("min_wal_size", "80MB"),
    ("wal_keep_size", "6GB"),
    ("max_connections", "100"),
    ("archive_mode", "off"),
    ("restart_after_crash", "off"),
    ("lc_messages", "C"),
    ("timezone", "UTC"),
];

/// A running server.
pub struct Server {
    /// PGDATA.
    pub data_dir: PathBuf,
    /// The port, which is part of the socket's name.
    pub port: u16,
    socket: TempDir,
    installed: Installed,
    child: Child,
}

/// A command run as the user that servers run as.
pub fn as_server_user(program: &Path) -> Command {
    match Runner::find() {
        Runner::Ourselves => Command::new(program),
        Runner::Other { uid, gid } => {
            let mut command = Command::new("/usr/bin/setpriv");
            let (uid, gid) = (uid.to_string(), gid.to_string());
            command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups", "--"]).arg(program);
            command
        }
    }
}

/// Creates a directory that belongs to that user.
pub fn make_own_dir(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    if let Runner::Other { uid, gid } = Runner::find() {
        std::os::unix::fs::chown(dir, Some(uid), Some(gid)).unwrap();
    }
}

/// `initdb` with checksums.
pub fn init(data_dir: &Path) {
    make_own_dir(data_dir);
    let mut initdb = as_server_user(&installed::find(None).bin_dir.join("initdb"));
    initdb.args(["-k", "-E", "UTF8", "--no-locale", "--no-sync", "-U", "postgres", "-A", "trust", "-D"]);
    finish(initdb.arg(data_dir).current_dir("/"));
}

/// Runs a command to its end and returns what it printed.
pub fn finish(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let mut own = Command::new(command.get_program());
    own.args(command.get_args()).current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    own.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = children::finish(own, Vec::new(), CLIENT_LIMIT);
    assert!(done.status.success(), "{shown}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

impl Server {
    /// Starts it and waits until it takes connections.
    pub fn start(data_dir: &Path, more: &[(&str, &str)]) -> Server {
        let mut server = Server::launch(data_dir, more);
        server.wait();
        server
    }

    /// Starts it and returns at once.
    pub fn launch(data_dir: &Path, more: &[(&str, &str)]) -> Server {
        let installed = installed::find(None);
        let socket = tempfile::Builder::new().prefix("lbn-").tempdir_in("/tmp").unwrap();
        make_own_dir(socket.path());
        fs::set_permissions(socket.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port();
        let mut command = installed::dies_with_us(&installed.bin_dir.join("postgres"));
        command.arg("-D").arg(data_dir).arg("-c").arg(format!("port={port}"));
        command.arg("-c").arg(format!("unix_socket_directories={}", socket.path().display()));
        for (name, value) in SETTINGS.iter().chain(more) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log = File::create(log_path(socket.path())).unwrap();
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let runner = Runner::find();
        runner.apply(&mut command);
        let child = children::spawn_lasting(command).unwrap();
        Server { data_dir: data_dir.to_owned(), port, socket, installed, child }
    }

    /// Waits until it takes connections.
    pub fn wait(&mut self) {
        self.wait_for(&["ready", "standby"]);
    }

    /// Waits until `postmaster.pid` tells one of these states.
    pub fn wait_for(&mut self, states: &[&str]) {
        let deadline = Instant::now() + START_LIMIT;
        let file = self.data_dir.join("postmaster.pid");
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let ours = text.lines().next() == Some(self.child.id().to_string().as_str());
            if ours && text.lines().nth(7).is_some_and(|state| states.contains(&state.trim())) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "no server came up:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until recovery has ended.
    pub fn wait_until_writable(&mut self) {
        self.wait();
        let deadline = Instant::now() + START_LIMIT;
        while self.psql("postgres", "select pg_is_in_recovery()") != "f" {
            assert!(Instant::now() < deadline, "recovery does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(self.socket.path())).unwrap_or_default()
    }

    /// The directory of its socket.
    pub fn host(&self) -> String {
        self.socket.path().display().to_string()
    }

    /// Where its programs are.
    pub fn bin(&self, program: &str) -> PathBuf {
        self.installed.bin_dir.join(program)
    }

    /// A client program that is led here.
    pub fn client(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.bin(program));
        command.args(args).env("PGHOST", self.host()).env("PGPORT", self.port.to_string());
        command.env("PGUSER", "postgres").env("PGCONNECT_TIMEOUT", "10").env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs a client program; what it printed.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        finish(&mut self.client(program, args))
    }

    /// Runs SQL.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let args = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql];
        self.run("psql", &args).trim_end().to_owned()
    }

    /// All pages on disk, and everything that was written, too.
    pub fn settle(&self) {
        self.psql("postgres", "checkpoint");
        rustix::fs::sync();
    }

    /// The databases that hold something.
    pub fn databases(&self) -> Vec<String> {
        let sql =
            "select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1";
        self.psql("postgres", sql).lines().map(str::to_owned).collect()
    }

    fn end(&mut self) {
        children::signal(self.child.id(), Signal::INT);
        if children::wait(&mut self.child, STOP_LIMIT).is_none() {
            children::kill_group(&mut self.child);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn log_path(socket: &Path) -> PathBuf {
    socket.join("log")
}

/// `lifeboat` as that user, in a clean environment.
pub fn lifeboat(args: &[&str]) -> Program {
    let command = as_server_user(&lifeboat_tests::program::bin_dir().join("lifeboat"));
    Program::at(command.get_program().into()).args(command.get_args()).args(args.to_vec()).cwd("/")
}
