//! The built programs, run as a user runs them.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::children::{self, Gathering};
use crate::outcome::Outcome;
use crate::place;

/// How long a program may run unless a test says otherwise.
const LIMIT: Duration = Duration::from_secs(240);
/// util-linux's.
const UNSHARE: &str = "/usr/bin/unshare";
/// How long the output of a program that has ended may still come.
const ORPHANS_LIMIT: Duration = Duration::from_secs(2);

/// A command line of ours, to be run in a clean environment: nothing is inherited but PATH, the
/// temporary directory and the coverage file; no `LIFEBOAT_*`, `PG*`, `AWS_*`, no home.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    input: Vec<u8>,
    limit: Duration,
}

impl Program {
    /// The program `lifeboat`.
    pub fn lifeboat() -> Program {
        Program::at(built("lifeboat", &["agent"])).env("TMPDIR", place::ours())
    }

    /// The program `restore-drill`.
    pub fn restore_drill() -> Program {
        Program::at(built("restore-drill", &["agent", "restore-drill"])).env("TMPDIR", place::ours())
    }

    /// Any other program, run under the same rules.
    pub fn at(path: PathBuf) -> Program {
        Program { path, args: vec![], env: vec![], cwd: None, input: vec![], limit: LIMIT }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Program {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Program {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Program {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Lets it run under a clock that is off by this, as faketime has it; the kernel's clock stays as it is.
    ///
    /// # Panics
    /// Where libfaketime is not installed.
    pub fn off_by(self, offset: &str) -> Program {
        self.envs(fake_clock()).env("FAKETIME", offset)
    }

    /// Lets it run under a clock that is off by what this file says at each moment, so that it can jump.
    ///
    /// # Panics
    /// Where libfaketime is not installed.
    pub fn clock_of(self, file: &Path) -> Program {
        self.envs(clock_of(file))
    }

    /// Sets variables, such as those of `Cluster::env` and `S3::env`.
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        env: impl IntoIterator<Item = (N, V)>,
    ) -> Program {
        self.env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Program {
        self.cwd = Some(dir.into());
        self
    }

    /// What standard input holds; empty otherwise.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Program {
        self.input = input.into();
        self
    }

    /// How long it may run.
    pub fn limit(mut self, limit: Duration) -> Program {
        self.limit = limit;
        self
    }

    /// The same in a session of its own: without a terminal, whoever runs the tests.
    pub fn without_terminal(self) -> Program {
        self.in_session("--wait")
    }

    /// The same where there is no network, not even loopback. Only root can do that: see
    /// [`can_cut_the_network`].
    pub fn without_network(self) -> Program {
        let own = [OsString::from("--net"), self.path.into()];
        let args = own.into_iter().chain(self.args).collect();
        Program { path: PathBuf::from(UNSHARE), args, ..self }
    }

    /// Wrapped in util-linux's `setsid` with this option, and `--wait`.
    pub(crate) fn in_session(self, option: &str) -> Program {
        let own = [OsString::from(option), "--wait".into(), self.path.into()];
        let args = own.into_iter().chain(self.args).collect();
        Program { path: PathBuf::from("/usr/bin/setsid"), args, ..self }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).env_clear();
        for name in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8").env("RUST_BACKTRACE", "1");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it runs longer than its limit: it is killed, and its output shown.
    pub fn run(&self) -> Outcome {
        let started = Instant::now();
        let done = children::finish(self.command(), self.input.clone(), self.limit);
        Outcome::new(self.to_string(), done.status, &done.stdout, &done.stderr, started.elapsed())
    }

    /// Starts it and returns at once: for tests that kill it or watch it.
    pub fn spawn(&self) -> Running {
        assert!(self.input.is_empty(), "spawn gives no input");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {self}: {e}"));
        let stdout = children::collect(child.stdout.take().unwrap());
        let stderr = children::collect(child.stderr.take().unwrap());
        Running { program: self.clone(), child, stdout, stderr, started: Instant::now() }
    }
}

/// What a program under another clock needs.
fn fake_clock() -> Vec<(String, String)> {
    let library = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|path| Path::new(path).exists());
    let library = library.expect("libfaketime is installed");
    vec![("LD_PRELOAD".to_owned(), library), ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned())]
}

/// See [`Program::clock_of`].
pub(crate) fn clock_of(file: &Path) -> Vec<(String, String)> {
    let own =
        [("FAKETIME_TIMESTAMP_FILE", file.display().to_string()), ("FAKETIME_NO_CACHE", "1".to_owned())];
    fake_clock().into_iter().chain(own.map(|(name, value)| (name.to_owned(), value))).collect()
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.file_name().unwrap_or_default().to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))
    }
}

/// Whether programs can be run without a network on this machine.
pub fn can_cut_the_network() -> bool {
    Path::new(UNSHARE).exists() && Program::at("/bin/true".into()).without_network().run().code == Some(0)
}

/// A program that runs. Killed with its children when dropped.
pub struct Running {
    program: Program,
    child: Child,
    stdout: Gathering,
    stderr: Gathering,
    started: Instant,
}

impl Running {
    /// Its process id, for a fault's callback.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it printed on standard output so far.
    pub fn stdout_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stdout.so_far()).into_owned()
    }

    /// What it printed on standard error so far.
    pub fn stderr_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stderr.so_far()).into_owned()
    }

    /// Kills it (and not its children), as the out-of-memory killer would, and waits for its end.
    pub fn kill9(self) -> Outcome {
        self.signal(Signal::KILL);
        self.finish()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        children::signal(self.pid(), signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When its limit is over; with what it printed so far.
    pub fn finish(mut self) -> Outcome {
        let limit = self.program.limit.saturating_sub(self.started.elapsed());
        let Some(status) = children::wait(&mut self.child, limit) else {
            let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
            let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            panic!("{} ran longer than {:?}\n{stdout}\n{stderr}", self.program, self.program.limit);
        };
        // the children of a killed program may hold its pipes for a while
        let (stdout, stderr) = (self.stdout.all(ORPHANS_LIMIT), self.stderr.all(ORPHANS_LIMIT));
        Outcome::new(self.program.to_string(), status, &stdout, &stderr, self.started.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        children::kill_group(&mut self.child);
    }
}

/// The directory that `cargo build` leaves programs in: `TEST_BIN_DIR`, else where this
/// very program was built.
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("TEST_BIN_DIR") {
        return dir.into();
    }
    let exe = std::env::current_exe().unwrap();
    let dir = exe.parent().unwrap();
    if dir.ends_with("deps") || dir.ends_with("examples") { dir.parent().unwrap().into() } else { dir.into() }
}

/// The folder of the whole project.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `cargo test -p lifeboat-tests` does not build programs of other packages, so one that is older
/// than its sources would be tested in place of the one in the editor.
fn built(name: &str, sources: &[&str]) -> PathBuf {
    let path = bin_dir().join(name);
    let Ok(made) = path.metadata().and_then(|m| m.modified()) else {
        panic!("{} is not there: run `cargo build --workspace` first", path.display());
    };
    if std::env::var_os("TEST_BIN_DIR").is_none() {
        for source in sources {
            if let Some(newer) = newer_than(&workspace_root().join(source).join("src"), made) {
                panic!("{} is older than {}: run `cargo build --workspace`", path.display(), newer.display());
            }
        }
    }
    path
}

fn newer_than(dir: &Path, made: SystemTime) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    entries.map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => newer_than(&path, made),
        false => path.metadata().and_then(|m| m.modified()).is_ok_and(|at| at > made).then_some(path),
    })
}
