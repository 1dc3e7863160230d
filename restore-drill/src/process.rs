//! Child processes: run to their end with a deadline, the end of what they said kept, and stopped
//! in an orderly way when the drill is.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lifeboat::clock;
use lifeboat::error::{Error, Kind, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Kept of each output stream: the end of it, where programs say what went wrong.
const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A longer line is told cut.
const LINE_BYTES_MAX: usize = 4096;
/// What a child gets to clean up after SIGTERM before it is killed.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How a child ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The end of its standard output.
    pub stdout: String,
    /// The end of its standard error.
    pub stderr: String,
}

impl Ended {
    /// Whether it exited with 0.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// "exit code 3" or "ended by a signal".
    pub fn how(&self) -> String {
        match self.code {
            Some(code) => format!("exit code {code}"),
            None => "ended by a signal".to_owned(),
        }
    }

    /// The last lines of standard error, for a message.
    pub fn last_words(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// A program with nothing of our environment but where programs are and what time it is here.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C");
    for name in ["PATH", "TZ"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// Starts a child with no input, in a process group of its own: a Ctrl-C at the terminal reaches
/// the drill alone, which then stops its children in order. Killed should its handle be dropped.
pub fn spawn(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    command.spawn().map_err(|e| {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let kind = if e.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
        Error::new(kind, format!("cannot start {program}")).because(e)
    })
}

/// Runs a child to its end. Cancel-safe: dropped, it leaves no child behind, although only
/// [`stop`] lets one clean up.
///
/// # Errors
/// Where it cannot be started, or is not done within `limit` (it is stopped then).
pub async fn run(command: &mut Command, limit: Duration) -> Result<Ended> {
    let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    wait(child, &name, limit, std::future::pending(), |_| {}).await
}

/// Waits for a child with piped outputs; stops it when `cancelled` resolves or `limit` is over.
/// `on_line` is told each line of its standard error as it comes.
///
/// # Errors
/// [`Kind::Interrupted`] when cancelled, [`Kind::Unreachable`] past the limit.
pub async fn wait(
    mut child: Child,
    name: &str,
    limit: Duration,
    cancelled: impl Future<Output = ()>,
    on_line: impl FnMut(&str),
) -> Result<Ended> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let outputs = async { tokio::join!(end_of(stdout, |_| {}), end_of(stderr, on_line)) };
    let done = async {
        let (status, (stdout, stderr)) = tokio::join!(child.wait(), outputs);
        (status, stdout, stderr)
    };
    let stopped = tokio::select! {
        (status, stdout, stderr) = done => {
            let status = status.map_err(|e| Error::new(Kind::Io, format!("cannot wait for {name}")).because(e))?;
            return Ok(Ended { code: status.code(), stdout, stderr });
        }
        () = cancelled => Error::new(Kind::Interrupted, format!("{name} was stopped by a signal")),
        () = clock::sleep(limit) => {
            Error::new(Kind::Unreachable, format!("{name} was not done in {}", clock::span_text(limit)))
        }
    };
    stop(&mut child, Signal::TERM, STOP_LIMIT).await;
    Err(stopped)
}

/// Asks a child to end with `signal`, and kills it, its own children too, where it has not after
/// `limit`.
pub async fn stop(child: &mut Child, signal: Signal, limit: Duration) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, signal); // gone already is fine
    }
    if tokio::time::timeout(limit, child.wait()).await.is_err() {
        // With its children: not waited for yet, so the number of its group is still its own.
        if let Some(group) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.kill().await;
    }
}

/// Reads a stream to its end and keeps the last part of it.
async fn end_of(stream: Option<impl AsyncRead + Unpin>, mut on_line: impl FnMut(&str)) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept: Vec<u8> = Vec::new();
    let mut line: Vec<u8> = Vec::new();
    let mut buffer = vec![0u8; 16 * 1024]; // on the heap: futures are moved about
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let piece = &buffer[..count];
        kept.extend_from_slice(piece);
        if kept.len() > 2 * OUTPUT_BYTES_MAX {
            kept.drain(..kept.len() - OUTPUT_BYTES_MAX);
        }
        for &byte in piece {
            match byte {
                b'\n' | b'\r' if line.is_empty() => {}
                b'\n' | b'\r' => on_line(&String::from_utf8_lossy(&std::mem::take(&mut line))),
                _ if line.len() < LINE_BYTES_MAX => line.push(byte),
                _ => {}
            }
        }
    }
    let from = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
    String::from_utf8_lossy(&kept[from..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_child_is_heard_and_its_code_told() {
        let ended = run(&mut shell("echo out; echo err >&2; exit 3"), Duration::from_secs(20)).await.unwrap();
        assert_eq!((ended.code, ended.stdout.trim(), ended.last_words().as_str()), (Some(3), "out", "err"));
        assert_eq!(ended.how(), "exit code 3");
        let error = run(&mut Command::new("/nonexistent/program"), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }

    #[tokio::test]
    async fn a_child_that_takes_too_long_is_stopped_and_may_clean_up() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("cleaned");
        let script = format!("trap 'touch {}; exit 1' TERM; sleep 60 & wait", mark.display());
        let error = run(&mut shell(&script), Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(mark.exists());
    }
}
