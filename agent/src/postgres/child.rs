//! A client program of PostgreSQL as a child: its own process group, its standard error read to
//! the end with bounds, its end awaited with a deadline, killed when its owner goes.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::environment;
use crate::error::{Error, Kind, Result};

/// How much of the end of standard error is kept.
const TAIL_BYTES_MAX: usize = 64 << 10;
/// How many lines that tell of an error or a warning are kept from anywhere.
const TELLING_LINES_MAX: usize = 200;
/// A longer line is cut.
const LINE_BYTES_MAX: usize = 4 << 10;
/// After SIGTERM, pg_restore cancels its queries in the server; then it is killed.
const TERMINATE_WAIT: Duration = Duration::from_secs(5);

/// Called with each line of standard error.
pub(crate) type OnLine = Box<dyn FnMut(&str) + Send>;

/// A running client program.
pub(crate) struct Program {
    child: Child,
    group: Option<Pid>,
    label: String,
    stderr: Option<JoinHandle<Stderr>>,
}

/// What a program wrote to standard error, bounded.
#[derive(Debug, Default)]
pub(crate) struct Stderr {
    telling: Vec<String>,
    tail: VecDeque<String>,
    tail_bytes: usize,
}

impl Program {
    /// Starts it. `label` is what errors call it: `pg_dump of database "shop" at db1:5432 as odoo`.
    pub fn start(
        mut command: Command,
        label: String,
        stdin: bool,
        stdout: bool,
        on_line: Option<OnLine>,
    ) -> Result<Program> {
        let piped = |yes: bool| if yes { Stdio::piped() } else { Stdio::null() };
        environment::clean(command.as_std_mut(), environment::Child::Program);
        let mut child = command
            .stdin(piped(stdin))
            .stdout(piped(stdout))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0) // Ctrl-C reaches us alone, and we end the children in order
            .spawn()
            .map_err(|e| {
                let program = command.as_std().get_program().to_string_lossy().into_owned();
                Error::new(Kind::Postgres, format!("cannot start {label}")).because(Error::file(
                    "run",
                    program.as_ref(),
                    e,
                ))
            })?;
        let group = child.id().and_then(|id| Pid::from_raw(id as i32));
        let stderr = child.stderr.take().map(|pipe| tokio::spawn(read_lines(pipe, on_line)));
        Ok(Program { child, group, label, stderr })
    }

    /// The pipe to its standard input; once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The pipe from its standard output; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits for its end. Success is exit code 0 and nothing else.
    ///
    /// # Errors
    /// `Postgres`, with the telling lines of standard error as the cause: on another exit code, a
    /// signal, or when it does not end in time (it is killed then).
    pub async fn finish(self, wait: Duration) -> Result<Stderr> {
        self.finish_or_cancel(wait, &CancellationToken::new()).await
    }

    /// [`Program::finish`], ended early when `cancel` is cancelled.
    ///
    /// # Errors
    /// Also `Interrupted`.
    pub async fn finish_or_cancel(mut self, wait: Duration, cancel: &CancellationToken) -> Result<Stderr> {
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            ended = tokio::time::timeout(wait, self.child.wait()) => Some(ended),
        };
        let Some(Ok(status)) = ended else {
            self.terminate().await;
            let stderr = self.stderr().await;
            return Err(match ended {
                None => Error::new(Kind::Interrupted, format!("{} was stopped", self.label)),
                Some(_) => {
                    let seconds = wait.as_secs();
                    Error::new(Kind::Postgres, format!("{} did not end within {seconds} s", self.label))
                        .because(stderr.summary())
                        .safe("it was killed; running again is safe")
                }
            });
        };
        let status = status
            .map_err(|e| Error::new(Kind::Postgres, format!("cannot wait for {}", self.label)).because(e))?;
        let stderr = self.stderr().await;
        match status.success() {
            true => Ok(stderr),
            false => Err(Error::new(Kind::Postgres, format!("{} {}", self.label, status_text(status)))
                .because(stderr.summary())),
        }
    }

    /// Ends it and its children: asked first, killed after a while.
    pub async fn terminate(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(TERMINATE_WAIT, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await; // killed: there is nothing left to learn
        }
    }

    async fn stderr(&mut self) -> Stderr {
        match self.stderr.take() {
            // A grandchild may hold the pipe open beyond the program's end: bounded.
            Some(mut task) => match tokio::time::timeout(TERMINATE_WAIT, &mut task).await {
                Ok(Ok(stderr)) => stderr,
                _ => {
                    task.abort();
                    Stderr::default()
                }
            },
            None => Stderr::default(),
        }
    }

    fn signal(&self, signal: Signal) {
        // `id` is None once it was reaped: its number may be another's by then.
        if let (Some(group), Some(_)) = (self.group, self.child.id()) {
            let _ = kill_process_group(group, signal); // gone already is fine
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(task) = &self.stderr {
            task.abort();
        }
    }
}

impl Stderr {
    fn push(&mut self, line: String) {
        if is_telling(&line) && self.telling.len() < TELLING_LINES_MAX {
            self.telling.push(line.clone());
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > TAIL_BYTES_MAX {
            match self.tail.pop_front() {
                Some(gone) => self.tail_bytes -= gone.len(),
                None => break,
            }
        }
    }

    /// The lines that say "warning" or "error" of a program that succeeded.
    pub fn warnings(self) -> Vec<String> {
        self.telling
    }

    /// The lines to print as the cause of a failure: the telling ones, or else the last ones.
    pub fn summary(&self) -> String {
        let lines: Vec<&str> = match self.telling.is_empty() {
            false => self.telling.iter().map(String::as_str).take(8).collect(),
            true => self.tail.iter().rev().take(4).rev().map(String::as_str).collect(),
        };
        match lines.is_empty() {
            true => "it said nothing".into(),
            false => lines.join("; "),
        }
    }
}

/// What PostgreSQL's programs put before a message that matters (they run with `LC_ALL=C`), and whatever the server
/// says, whose words are in its own language. Names of tables are no such marks, whatever they contain.
fn is_telling(line: &str) -> bool {
    let marks = [": error:", ": fatal:", ": warning:", ": detail:", ": hint:"];
    let progress = [
        "pg_restore: creating ",
        "pg_restore: processing ",
        "pg_restore: launching ",
        "pg_restore: finished ",
    ];
    let by_program = marks.iter().any(|mark| line.contains(mark));
    (by_program || is_of_server(line)) && !progress.iter().any(|begin| line.starts_with(begin))
}

/// Whether a line is a message of the server as libpq prints it: its severity, which is one word in every language, a
/// colon and two blanks (`WARNING:  `, `FEHLER:  `, `ОШИБКА:  `).
fn is_of_server(line: &str) -> bool {
    line.split_once(":  ").is_some_and(|(severity, _)| {
        !severity.is_empty() && severity.chars().all(|c| c.is_alphabetic() || c == '-')
    })
}

fn status_text(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended without an exit code".into(),
    }
}

async fn read_lines(mut pipe: impl AsyncRead + Unpin, mut on_line: Option<OnLine>) -> Stderr {
    let (mut kept, mut line, mut chunk) = (Stderr::default(), Vec::new(), vec![0u8; 8 << 10]);
    let mut end = |line: &mut Vec<u8>, kept: &mut Stderr| {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            return;
        }
        if let Some(on_line) = &mut on_line {
            on_line(&text);
        }
        kept.push(text);
    };
    while let Ok(got @ 1..) = pipe.read(&mut chunk).await {
        for &byte in &chunk[..got] {
            match byte {
                b'\n' => end(&mut line, &mut kept),
                _ if line.len() < LINE_BYTES_MAX => line.push(byte),
                _ => {}
            }
        }
    }
    end(&mut line, &mut kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Program::start(command, "the script".into(), false, false, None).unwrap()
    }

    #[tokio::test]
    async fn a_failure_carries_its_telling_lines_and_a_success_its_warnings() {
        let error = shell("seq 1 30000 >&2; echo 'x: error: broke' >&2; seq 1 30000 >&2; exit 3")
            .finish(Duration::from_secs(30))
            .await
            .unwrap_err();
        assert_eq!(error.what(), "the script failed with exit code 3");
        assert_eq!(error.causes(), ["x: error: broke"]);
        let fine =
            shell("echo 'x: warning: odd' >&2; echo note >&2").finish(Duration::from_secs(30)).await.unwrap();
        assert_eq!(fine.warnings(), ["x: warning: odd"]);
    }

    #[tokio::test]
    async fn a_signal_and_a_hang_are_failures() {
        let error = shell("kill -9 $$").finish(Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(error.what(), "the script was killed by signal 9");
        let error = shell("sleep 600").finish(Duration::from_millis(100)).await.unwrap_err();
        assert!(error.what().contains("did not end"), "{error}");
    }

    #[test]
    fn what_a_server_says_is_telling_in_every_language() {
        for line in [
            "pg_dump: error: query failed: FEHLER:  keine Berechtigung für Tabelle x",
            "WARNUNG:  Kollation hat sich geändert",
            "ОШИБКА:  отношение не существует",
            "pg_restore: warning: errors ignored on restore: 1",
        ] {
            assert!(is_telling(line), "{line}");
        }
        for line in [
            "pg_restore: creating TABLE \"public.x: error: y\"",
            "pg_restore: processing data for table \"public.WARNING:  x\"",
            "a note: of two words",
        ] {
            assert!(!is_telling(line), "{line}");
        }
    }

    #[test]
    fn the_tail_is_bounded() {
        let mut kept = Stderr::default();
        for number in 0..100_000 {
            kept.push(format!("x: error: {number}"));
        }
        assert!(kept.tail_bytes <= TAIL_BYTES_MAX);
        assert_eq!(kept.telling.len(), TELLING_LINES_MAX);
    }
}
