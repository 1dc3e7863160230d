//! One run: `lifeboat` as a child process with a deadline. The end of its standard error is kept.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::child::{Asked, Stopped, Supervised, Tail};
use crate::clock;
use crate::environment;
use crate::error::{Error, Kind, Result};

/// How much of its standard error is kept: the end, where programs say what went wrong.
const SAID_BYTES_MAX: usize = 4_000;
/// How long it may take to clean up and end pg_dump; then both are killed.
const ASKED: (Asked, Duration) = (Asked::Child(Signal::TERM), Duration::from_secs(60));
/// How long it may take to stop a drill's restore and server, and to remove the copy: less than systemd waits
/// for us.
const DRILL_ASKED: (Asked, Duration) = (Asked::Child(Signal::TERM), Duration::from_secs(75));

/// How much of its standard output is kept, where it is.
const PRINTED_BYTES_MAX: usize = 16_000;

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub exit_code: Option<i32>,
    /// The last lines of its standard error.
    pub said: String,
}

/// Runs `program` to its end. After `limit`, or when `cancel` is cancelled, it is asked to stop, then killed.
///
/// # Errors
/// If it cannot be started.
pub async fn run(
    program: &Path,
    arguments: &[String],
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Ended> {
    let of = (environment::Child::Lifeboat, "schedule.deadline", ASKED);
    run_with(program, arguments, limit, of, Stdio::null(), cancel).await.map(|(ended, _)| ended)
}

/// The same for a restore drill, which decrypts, and needs longer to clean up.
///
/// # Errors
/// If it cannot be started.
pub async fn run_drill(
    program: &Path,
    arguments: &[String],
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Ended> {
    let of = (environment::Child::LifeboatThatOpens, "schedule.deadline", DRILL_ASKED);
    run_with(program, arguments, limit, of, Stdio::null(), cancel).await.map(|(ended, _)| ended)
}

/// [`run`], with the end of its standard output.
///
/// # Errors
/// If it cannot be started.
pub async fn run_printing(
    program: &Path,
    arguments: &[String],
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<(Ended, String)> {
    let of = (environment::Child::Lifeboat, "checkpoint.timeout", ASKED);
    run_with(program, arguments, limit, of, Stdio::piped(), cancel).await
}

async fn run_with(
    program: &Path,
    arguments: &[String],
    limit: Duration,
    (child, limited_by, asked): (environment::Child, &str, (Asked, Duration)),
    stdout: Stdio,
    cancel: &CancellationToken,
) -> Result<(Ended, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    environment::clean(command.as_std_mut(), child);
    let mut child = Supervised::start(&mut command)
        .map_err(|e| Error::new(Kind::Io, format!("cannot start {}", program.display())).because(e))?;
    let (stdout, printed) = (child.stdout(), Tail::of(PRINTED_BYTES_MAX));
    let (stderr, tail) = (child.stderr(), Tail::of(SAID_BYTES_MAX));
    let listening = async { tokio::join!(tail.listen(stderr, |_| {}), printed.listen(stdout, |_| {})) };
    let end = child.end(limit, cancel.cancelled(), asked, async { listening.await.0 }).await;
    let end = end.map_err(|e| Error::new(Kind::Io, "cannot wait for a run").because(e))?;
    let why = match end.stopped {
        Some(Stopped::Cancelled) => Some("stopped, because the agent stopped".to_owned()),
        Some(Stopped::TooLate) => {
            Some(format!("stopped: it did not finish within {} ({limited_by})", clock::span_text(limit)))
        }
        None => killed(end.status.signal()),
    };
    let said = why.into_iter().chain([tail.text().trim().to_owned()]).collect::<Vec<_>>().join("\n");
    Ok((Ended { exit_code: end.status.code(), said: said.trim().to_owned() }, printed.text()))
}

/// Explains the signal that ended a run, if the agent did not send it.
fn killed(signal: Option<i32>) -> Option<String> {
    let signal = signal?;
    let what = match signal {
        6 => "it ran out of memory",
        9 => "most likely it ran out of memory",
        _ => return Some(format!("ended by signal {signal}")),
    };
    let remedy = "raise MemoryMax= of the unit or the container's limit, or lower backup.workers";
    Some(format!("ended by signal {signal}: {what}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration, cancel: &CancellationToken) -> Ended {
        let arguments = ["-c".to_owned(), script.to_owned()];
        run(Path::new("/bin/sh"), &arguments, limit, cancel).await.unwrap()
    }

    #[tokio::test]
    async fn a_run_is_heard_and_stopped_in_order() {
        let calm = CancellationToken::new();
        let minute = Duration::from_secs(60);
        let ended = shell("echo 'error[busy]: not now' >&2; exit 15", minute, &calm).await;
        assert_eq!((ended.exit_code, ended.said.as_str()), (Some(15), "error[busy]: not now"));

        let trap = "trap 'echo cleaned >&2; exit 18' TERM; sleep 60 & wait";
        let late = shell(trap, Duration::from_millis(300), &calm).await;
        assert_eq!(late.exit_code, Some(18));
        assert!(
            late.said.starts_with("stopped: it did not finish within") && late.said.ends_with("cleaned"),
            "{}",
            late.said
        );

        let stopping = CancellationToken::new();
        let (ended, ()) = tokio::join!(shell(trap, minute, &stopping), async {
            clock::sleep(Duration::from_millis(300)).await;
            stopping.cancel();
        });
        assert!(ended.said.starts_with("stopped, because the agent stopped"), "{}", ended.said);
        let killed = shell("echo busy >&2; kill -9 $$", minute, &calm).await;
        assert_eq!(killed.exit_code, None);
        assert!(
            killed.said.contains("lower backup.workers") && killed.said.ends_with("busy"),
            "{}",
            killed.said
        );
        assert!(run(Path::new("/nonexistent"), &[], minute, &calm).await.is_err());
    }
}
