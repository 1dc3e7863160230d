//! Child processes: each leads its own process group, must end before a deadline, has its output read to the
//! end with limits, and is killed with its own children when its owner is dropped.
//!
//! A separate group, so that Ctrl-C at the terminal reaches only us: we stop the children, in order. The
//! environment of a child is set in [`crate::environment`].

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::clock;

/// How long the rest of its output may take once it has ended: a process that it started may hold the pipe
/// for ever.
const LISTEN_LIMIT: Duration = Duration::from_secs(5);
/// A longer line is cut.
const LINE_BYTES_MAX: usize = 4 << 10;

/// A running child.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
    group: Option<Pid>,
}

/// Who is asked to stop. After the patience the whole group is killed.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// Only the child: it ends its own children in order.
    Child(Signal),
    /// Every process in its group.
    Group(Signal),
}

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// Why we stopped it, if we did.
    pub stopped: Option<Stopped>,
}

/// Why a child was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Its owner was cancelled.
    Cancelled,
    /// It was not done in time.
    TooLate,
}

impl Supervised {
    /// Starts it, with the streams and the environment of `command`.
    ///
    /// # Errors
    /// Those of the system, where the program cannot be run.
    pub fn start(command: &mut Command) -> io::Result<Supervised> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Supervised { child, group })
    }

    /// Its process number, until it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The pipe to its standard input; once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The pipe from its standard output; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The pipe from its standard error; once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// Those of the system.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end while `listening` reads its output. After `limit`, or when `cancelled` resolves, it
    /// is asked to stop, and killed when it has not ended after `patience`. Dropped meanwhile, it leaves
    /// nothing running.
    ///
    /// # Errors
    /// Those of the system, where it cannot be waited for.
    pub async fn end(
        &mut self,
        limit: Duration,
        cancelled: impl Future<Output = ()>,
        (asked, patience): (Asked, Duration),
        listening: impl Future<Output = ()>,
    ) -> io::Result<End> {
        let ending = async {
            let stopped = tokio::select! {
                biased;
                () = cancelled => Stopped::Cancelled,
                status = self.child.wait() => return Ok(End { status: status?, stopped: None }),
                () = clock::sleep(limit) => Stopped::TooLate,
            };
            Ok(End { status: self.stop(asked, patience).await?, stopped: Some(stopped) })
        };
        let (mut ending, mut listening, mut heard) = (pin!(ending), pin!(listening), false);
        let end = loop {
            tokio::select! {
                end = &mut ending => break end,
                () = &mut listening, if !heard => heard = true,
            }
        };
        if !heard {
            let _ = timeout(LISTEN_LIMIT, listening).await; // output after that is lost
        }
        end
    }

    /// Asks it to end, and kills it with its group where it has not after `patience`.
    ///
    /// # Errors
    /// Those of the system, where it cannot be waited for.
    pub async fn stop(&mut self, asked: Asked, patience: Duration) -> io::Result<ExitStatus> {
        self.ask(asked);
        if let Ok(status) = timeout(patience, self.child.wait()).await {
            return status;
        }
        self.ask(Asked::Group(Signal::KILL));
        self.child.wait().await
    }

    fn ask(&self, asked: Asked) {
        // There is no `id` once it was waited for: another process may have its number by then.
        if let (Some(pid), Some(_)) = (self.group, self.child.id()) {
            let _ = match asked {
                Asked::Child(signal) => kill_process(pid, signal),
                Asked::Group(signal) => kill_process_group(pid, signal),
            }; // an error means that it has already ended
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.ask(Asked::Group(Signal::KILL));
    }
}

/// `exit code 3`, or which signal ended it.
pub fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

/// The last bytes of a stream. They can be read while `listen` runs.
#[derive(Clone, Debug)]
pub struct Tail {
    said: Arc<Mutex<Vec<u8>>>,
    bytes_max: usize,
}

impl Tail {
    /// Keeps at most so many bytes.
    pub fn of(bytes_max: usize) -> Tail {
        Tail { said: Arc::default(), bytes_max }
    }

    /// What is kept now.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Reads the stream to its end. `on_line` is called for each line that is not empty, as it arrives.
    pub async fn listen(&self, stream: Option<impl AsyncRead + Unpin>, mut on_line: impl FnMut(&str)) {
        let Some(mut stream) = stream else { return };
        let (mut line, mut piece) = (Vec::new(), vec![0u8; 16 << 10]); // on the heap: futures are moved
        let mut tell = |line: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            line.clear();
            if !text.is_empty() {
                on_line(&text);
            }
        };
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            self.keep(&piece[..count]);
            for &byte in &piece[..count] {
                match byte {
                    b'\n' | b'\r' => tell(&mut line),
                    _ if line.len() < LINE_BYTES_MAX => line.push(byte),
                    _ => {}
                }
            }
        }
        tell(&mut line);
    }

    fn keep(&self, piece: &[u8]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(piece);
        let surplus = said.len().saturating_sub(self.bytes_max);
        said.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    const MINUTE: Duration = Duration::from_secs(60);
    const SOON: Duration = Duration::from_millis(300);
    const GENTLY: (Asked, Duration) = (Asked::Child(Signal::TERM), MINUTE);

    async fn shell(script: &str, limit: Duration, how: (Asked, Duration)) -> (End, String, Vec<String>) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Supervised::start(&mut command).unwrap();
        let (stderr, tail, mut lines) = (child.stderr(), Tail::of(20), Vec::new());
        let listening = tail.listen(stderr, |line| lines.push(line.to_owned()));
        let end = child.end(limit, std::future::pending(), how, listening).await.unwrap();
        (end, tail.text(), lines)
    }

    #[tokio::test]
    async fn it_is_heard_to_its_end_with_bounds() {
        let script =
            format!("printf 'a\\rb\\n\\n' >&2; printf 'x%.0s' $(seq {}) >&2; exit 3", 3 * LINE_BYTES_MAX);
        let (end, kept, lines) = shell(&script, MINUTE, GENTLY).await;
        assert_eq!((end.status.code(), end.stopped), (Some(3), None));
        assert_eq!((kept.len(), lines.len(), lines[2].len()), (20, 3, LINE_BYTES_MAX));
        assert_eq!(&lines[..2], ["a", "b"]);
    }

    #[tokio::test]
    async fn past_its_time_it_is_asked_and_heard_and_then_killed_with_its_children() {
        let begun = crate::clock::instant();
        let (end, kept, _) =
            shell("trap 'echo cleaned >&2; exit 18' TERM; sleep 60 & wait", SOON, GENTLY).await;
        assert_eq!(
            (end.status.code(), end.stopped, kept.trim()),
            (Some(18), Some(Stopped::TooLate), "cleaned")
        );
        let deaf = "trap '' TERM; sleep 60 & echo $! >&2; while :; do wait; done";
        let (end, kept, _) = shell(deaf, SOON, (Asked::Group(Signal::TERM), SOON)).await;
        assert_eq!(end.status.signal(), Some(9));
        let sleeper = Pid::from_raw(kept.trim().parse().unwrap()).unwrap();
        while rustix::process::test_kill_process(sleeper).is_ok() && begun.elapsed() < MINUTE / 2 {
            crate::clock::sleep(Duration::from_millis(20)).await; // until init has waited for it
        }
        assert!(begun.elapsed() < MINUTE / 2, "its child is still there");
    }

    #[tokio::test]
    async fn a_cancelled_one_is_stopped_and_a_dropped_one_is_gone() {
        let mut command = Command::new("/bin/sleep");
        let mut child = Supervised::start(command.arg("60")).unwrap();
        let end = child.end(MINUTE, std::future::ready(()), GENTLY, std::future::ready(())).await.unwrap();
        assert_eq!((end.status.signal(), end.stopped), (Some(15), Some(Stopped::Cancelled)));
        let child = Supervised::start(command.arg("60")).unwrap();
        let pid = child.group.unwrap();
        drop(child);
        let begun = crate::clock::instant();
        while rustix::process::test_kill_process(pid).is_ok() && begun.elapsed() < MINUTE / 2 {
            crate::clock::sleep(Duration::from_millis(20)).await;
        }
        assert!(begun.elapsed() < MINUTE / 2, "it is still there");
    }
}
