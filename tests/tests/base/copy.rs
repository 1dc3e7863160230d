//! A server on a directory that was laid out or restored: private socket, no network, stopped when
//! dropped.
#![allow(dead_code)] // suites that take this file use a part of it

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_tests::{Cluster, Outcome, Program};
use tempfile::TempDir;

/// How long a start with recovery may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The directory, and where the server's socket is.
pub struct Copied {
    dir: TempDir,
    data: PathBuf,
    bin: RefCell<PathBuf>,
    socket: RefCell<PathBuf>,
}

impl Copied {
    /// Nothing yet: `data_dir` does not exist.
    pub fn new() -> Copied {
        let dir = tempfile::Builder::new().prefix("lbc-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let socket = RefCell::new(dir.path().to_owned());
        Copied { data: dir.path().join("data"), dir, bin: Default::default(), socket }
    }

    /// Where the data directory is to be.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// The directory of the server's socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.borrow().clone()
    }

    /// Gives what was laid out there to the server's user.
    pub fn own(&self) {
        Program::at("/bin/chown".into()).args(["-R", "postgres:postgres"]).arg(&self.data).run();
    }

    fn as_postgres(&self, program: &str) -> Program {
        let user = if rustix::process::geteuid().is_root() { "postgres" } else { "nobody-else" };
        let bin = self.bin.borrow().join(program);
        match user {
            "postgres" => Program::at("/usr/bin/setpriv".into())
                .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
                .arg(bin)
                .cwd("/")
                .limit(LIMIT),
            _ => Program::at(bin).cwd("/").limit(LIMIT),
        }
    }

    /// Starts it with the programs of `like` and waits until it accepts connections.
    pub fn start(&self, like: &Cluster) {
        *self.bin.borrow_mut() = like.bin_dir().to_owned();
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c port=5432 -c archive_mode=off",
            self.dir.path().display()
        );
        let log = self.dir.path().join("log");
        let done = self
            .as_postgres("pg_ctl")
            .args(["-w", "-t", "100", "-D"])
            .arg(&self.data)
            .arg("-l")
            .arg(&log)
            .arg("-o")
            .arg(options)
            .arg("start")
            .run();
        assert!(done.code == Some(0), "{done}\n{}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Starts it as its own settings say, which put its socket beside it.
    pub fn start_as_it_is(&self, like: &Cluster) {
        *self.bin.borrow_mut() = like.bin_dir().to_owned();
        let program = self.as_postgres("pg_ctl").args(["-w", "-t", "100", "-D"]).arg(&self.data);
        let done = program.arg("-l").arg(self.data.with_extension("log")).arg("start").run();
        assert!(done.code == Some(0), "{done}\n{}", self.log());
    }

    /// Tries a start that must fail at once.
    pub fn try_start(&self) -> Outcome {
        self.as_postgres("postgres").arg("-D").arg(&self.data).args(["-c", "port=1"]).run()
    }

    /// What a server said that `lifeboat restore --start` started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }

    /// It was started by somebody else, with its socket there.
    pub fn started(&self, like: &Cluster, socket: &str) {
        *self.bin.borrow_mut() = like.bin_dir().to_owned();
        *self.socket.borrow_mut() = socket.into();
    }

    /// Runs SQL.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let done = Program::at(self.bin.borrow().join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-p", "5432", "-U", "postgres", "-h"])
            .arg(self.socket.borrow().as_path())
            .args(["-d", database, "-c", sql])
            .run()
            .ok();
        done.stdout.trim_end_matches('\n').to_owned()
    }

    /// Every heap and every index is as PostgreSQL's own checker wants it.
    pub fn amcheck(&self, database: &str) {
        Program::at(self.bin.borrow().join("pg_amcheck"))
            .args(["--install-missing", "--heapallindexed", "-p", "5432", "-U", "postgres", "-h"])
            .arg(self.socket.borrow().as_path())
            .arg(database)
            .limit(LIMIT)
            .run()
            .ok();
    }

    /// Stops it.
    pub fn stop(&self) {
        if self.data.join("postmaster.pid").exists() {
            self.as_postgres("pg_ctl").args(["-w", "-m", "fast", "-D"]).arg(&self.data).arg("stop").run();
        }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.stop();
        if self.socket.borrow().as_path() != self.dir.path() {
            let _ = std::fs::remove_dir_all(self.socket.borrow().as_path()); // made by `restore --start`
        }
    }
}
