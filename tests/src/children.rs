//! Child processes that cannot outlive or hang a test.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How often a waiting test looks again.
pub const POLL: Duration = Duration::from_millis(5);

/// Who takes this long hangs. Tests of what must end soon hold it against this, and let the other way take
/// minutes: a bound of some seconds is met on a busy machine, too.
pub const HANGS: Duration = Duration::from_secs(60);

/// A child that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// Runs a command to its end, feeding it `input`.
///
/// # Panics
/// When it cannot be started, or is still running after `limit`: it and its process group are
/// killed, and what it had printed so far is shown.
pub fn finish(mut command: Command, input: Vec<u8>, limit: Duration) -> Finished {
    let shown = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|e| panic!("start {shown}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    thread::spawn(move || {
        let _ = stdin.write_all(&input); // a child that does not want it has closed its end
    });
    let (stdout, stderr) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    match wait(&mut child, limit) {
        Some(status) => Finished { status, stdout: stdout.all(limit), stderr: stderr.all(limit) },
        None => {
            kill_group(&mut child);
            panic!(
                "{shown} was still running after {limit:?} and was killed\n--- stdout\n{}\n--- stderr\n{}",
                String::from_utf8_lossy(&stdout.all(Duration::from_secs(1))),
                String::from_utf8_lossy(&stderr.all(Duration::from_secs(1))),
            );
        }
    }
}

/// Waits for a child; `None` when it still runs after `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Sends a signal to one process; fine when it is gone already.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid as i32) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Kills a child that leads its own process group, and everything in that group.
pub fn kill_group(child: &mut Child) {
    if let Some(pid) = Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The output of a pipe, gathered by a thread so that a full pipe never blocks the child.
pub struct Gathering {
    data: std::sync::Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

/// Starts gathering a pipe.
pub fn collect(mut pipe: impl Read + Send + 'static) -> Gathering {
    let data = std::sync::Arc::new(Mutex::new(Vec::new()));
    let (done, ended) = mpsc::channel();
    let sink = data.clone();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            sink.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
        let _ = done.send(());
    });
    Gathering { data, ended }
}

impl Gathering {
    /// What came until the pipe closed, or within `limit`: a grandchild may hold it open.
    pub fn all(&self, limit: Duration) -> Vec<u8> {
        let _ = self.ended.recv_timeout(limit);
        self.so_far()
    }

    /// What came so far.
    pub fn so_far(&self) -> Vec<u8> {
        self.data.lock().unwrap().clone()
    }
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Starts a child from a thread that lives as long as this process.
///
/// A parent-death signal fires when the *thread* that forked ends, and a test's thread ends with
/// the test: a server shared between tests would die with the first of them.
pub fn spawn_lasting(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (answer, child) = mpsc::channel();
    spawner.lock().unwrap().send((command, answer)).expect("the spawner thread lives as long as we do");
    child.recv().expect("the spawner thread lives as long as we do")
}
