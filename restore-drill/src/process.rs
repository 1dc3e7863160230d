//! The drill's child processes; their failures are errors that name the program.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use lifeboat::child::{Asked, Stopped, Supervised, Tail, status_text};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::{clock, environment};
use rustix::process::Signal;
use tokio::process::Command;

/// How much of each output stream is kept: the end, where programs say what went wrong.
const OUTPUT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long it may take to clean up; then it is killed.
const ASKED: (Asked, Duration) = (Asked::Child(Signal::TERM), Duration::from_secs(30));

/// How a child ended, and its output.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// The end of its standard output.
    pub stdout: String,
    /// The end of its standard error.
    pub stderr: String,
}

impl Ended {
    /// Whether it exited with 0.
    pub fn is_success(&self) -> bool {
        self.status.success()
    }

    /// "exit code 3" or "signal 9".
    pub fn how(&self) -> String {
        status_text(self.status)
    }

    /// The last lines of standard error, for a message.
    pub fn last_words(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// A program in the environment of a scratch server: of ours it gets only the path of programs and the
/// time zone.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    environment::clean(command.env("LC_ALL", "C").as_std_mut(), environment::Child::ScratchServer);
    command
}

/// Starts a child without input.
///
/// # Errors
/// If it cannot be started.
pub fn spawn(command: &mut Command) -> Result<Supervised> {
    Supervised::start(command.stdin(Stdio::null())).map_err(|e| {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let kind = if e.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
        Error::new(kind, format!("cannot start {program}")).because(e)
    })
}

/// Runs a child to its end.
///
/// # Errors
/// If it cannot be started, or does not finish within `limit` (then it is stopped).
pub async fn run(command: &mut Command, limit: Duration) -> Result<Ended> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    run_heard(command, &name, limit, std::future::pending(), |_| {}).await
}

/// [`run`], stopped when `cancelled` resolves; `on_line` is called for each line of standard error when it
/// arrives.
///
/// # Errors
/// [`Kind::Interrupted`] if cancelled, [`Kind::Unreachable`] after the limit.
pub async fn run_heard(
    command: &mut Command,
    name: &str,
    limit: Duration,
    cancelled: impl Future<Output = ()>,
    on_line: impl FnMut(&str),
) -> Result<Ended> {
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (stdout, stderr) = (Tail::of(OUTPUT_BYTES_MAX), Tail::of(OUTPUT_BYTES_MAX));
    let (out, err) = (child.stdout(), child.stderr());
    let listening = async {
        tokio::join!(stdout.listen(out, |_| {}), stderr.listen(err, on_line));
    };
    let end = child.end(limit, cancelled, ASKED, listening).await;
    let end = end.map_err(|e| Error::new(Kind::Io, format!("cannot wait for {name}")).because(e))?;
    match end.stopped {
        None => Ok(Ended { status: end.status, stdout: stdout.text(), stderr: stderr.text() }),
        Some(Stopped::Cancelled) => {
            Err(Error::new(Kind::Interrupted, format!("{name} was stopped by a signal")))
        }
        Some(Stopped::TooLate) => Err(Error::new(
            Kind::Unreachable,
            format!("{name} did not finish within {}", clock::span_text(limit)),
        )),
    }
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
        assert_eq!(
            (ended.status.code(), ended.stdout.trim(), ended.last_words().as_str()),
            (Some(3), "out", "err")
        );
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
