//! Runs a client program of PostgreSQL as a child process: its connection comes from its environment, the
//! important lines of its standard error are kept, and its failure becomes an error that names it.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::child::{Asked, Stopped, Supervised, Tail, status_text};
use crate::environment;
use crate::error::shown::foreign;
use crate::error::{Error, Kind, Result};

/// How much of the end of standard error is kept.
const TAIL_BYTES_MAX: usize = 64 << 10;
/// How many lines with an error or a warning are kept, wherever they occur.
const TELLING_LINES_MAX: usize = 200;
/// The first signal, and how long it may take: pg_restore cancels its queries in the server.
const ASKED: (Asked, Duration) = (Asked::Group(Signal::TERM), Duration::from_secs(5));

/// Called with each line of standard error.
pub(crate) type OnLine = Box<dyn FnMut(&str) + Send>;

/// A running client program.
pub(crate) struct Program {
    child: Supervised,
    label: String,
    stderr: JoinHandle<Stderr>,
}

/// What a program wrote to standard error, bounded.
#[derive(Debug, Default)]
pub(crate) struct Stderr {
    telling: Vec<String>,
    tail: VecDeque<String>,
    tail_bytes: usize,
}

impl Program {
    /// Starts it. `label` is its name in errors: `pg_dump of database "shop" at db1:5432 as odoo`.
    pub fn start(
        mut command: Command,
        label: String,
        stdin: bool,
        stdout: bool,
        mut on_line: Option<OnLine>,
    ) -> Result<Program> {
        let piped = |yes: bool| if yes { Stdio::piped() } else { Stdio::null() };
        environment::clean(command.as_std_mut(), environment::Child::Program);
        command.stdin(piped(stdin)).stdout(piped(stdout)).stderr(Stdio::piped());
        let mut child = Supervised::start(&mut command).map_err(|e| {
            let program = command.as_std().get_program().to_string_lossy().into_owned();
            let cause = Error::file("run", program.as_ref(), e);
            Error::new(Kind::Postgres, format!("cannot start {label}")).because(cause)
        })?;
        let pipe = child.stderr();
        let stderr = tokio::spawn(async move {
            let mut kept = Stderr::default();
            let each = |line: &str| {
                if let Some(on_line) = &mut on_line {
                    on_line(line);
                }
                kept.push(line.to_owned());
            };
            Tail::of(0).listen(pipe, each).await;
            kept
        });
        Ok(Program { child, label, stderr })
    }

    /// The pipe to its standard input; can be taken once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin()
    }

    /// The pipe from its standard output; can be taken once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout()
    }

    /// Waits for its end. Only exit code 0 is success.
    ///
    /// # Errors
    /// `Postgres`, with the important lines of standard error as the cause: for another exit code, a
    /// signal, or if it does not end in time (then it is killed).
    pub async fn finish(self, wait: Duration) -> Result<Stderr> {
        self.finish_or_cancel(wait, &CancellationToken::new()).await
    }

    /// [`Program::finish`], ended early when `cancel` is cancelled.
    ///
    /// # Errors
    /// Also `Interrupted`.
    pub async fn finish_or_cancel(mut self, wait: Duration, cancel: &CancellationToken) -> Result<Stderr> {
        let mut stderr = Stderr::default();
        let listening = async { stderr = (&mut self.stderr).await.unwrap_or_default() };
        let end = self.child.end(wait, cancel.cancelled(), ASKED, listening).await;
        let label = &self.label;
        let end =
            end.map_err(|e| Error::new(Kind::Postgres, format!("cannot wait for {label}")).because(e))?;
        match end.stopped {
            None if end.status.success() => Ok(stderr),
            None => Err(Error::new(Kind::Postgres, format!("{label} failed: {}", status_text(end.status)))
                .because(stderr.summary())),
            Some(Stopped::Cancelled) => Err(Error::new(Kind::Interrupted, format!("{label} was stopped"))),
            Some(Stopped::TooLate) => {
                let seconds = wait.as_secs();
                Err(Error::new(Kind::Postgres, format!("{label} did not end within {seconds} s"))
                    .because(stderr.summary())
                    .safe("it was killed; running again is safe"))
            }
        }
    }

    /// Ends it and its children: asks first, kills later.
    pub async fn terminate(&mut self) {
        let _ = self.child.stop(ASKED.0, ASKED.1).await; // its owner reports the error
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stderr.abort();
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
        self.telling.iter().map(|line| foreign(line)).collect()
    }

    /// The lines to print as the cause of a failure: the important ones, or else the last ones.
    pub fn summary(&self) -> String {
        let lines: Vec<&str> = match self.telling.is_empty() {
            false => self.telling.iter().map(String::as_str).take(8).collect(),
            true => {
                let told: Vec<&str> = self.tail.iter().map(String::as_str).filter(|l| !quotes(l)).collect();
                told[told.len().saturating_sub(4)..].to_vec()
            }
        };
        match lines.is_empty() {
            true => "it wrote nothing to standard error".into(),
            false => lines.into_iter().map(foreign).collect::<Vec<_>>().join("; "),
        }
    }
}

/// Whether a line matters: it has the prefix of an error or a warning of PostgreSQL's programs (they run with
/// `LC_ALL=C`), or it is a message of the server, in any language. A table's name never counts as a prefix.
fn is_telling(line: &str) -> bool {
    let marks = [": error:", ": fatal:", ": warning:", ": detail:", ": hint:"];
    let progress = [
        "pg_restore: creating ",
        "pg_restore: processing ",
        "pg_restore: launching ",
        "pg_restore: finished ",
    ];
    let by_program = marks.iter().any(|mark| line.contains(mark));
    (by_program || is_of_server(line))
        && !quotes(line)
        && !progress.iter().any(|begin| line.starts_with(begin))
}

/// Whether a line repeats a tenant's content: rows (DETAIL), source code of functions (QUERY, CONTEXT),
/// statements. libpq puts these English words before it. Such lines are not repeated; they are in the
/// server's log.
pub(super) fn quotes(line: &str) -> bool {
    ["DETAIL:  ", "CONTEXT:  ", "QUERY:  ", "STATEMENT:  ", "INTERNAL QUERY:  ", "Command was: "]
        .iter()
        .any(|word| line.starts_with(word))
}

/// Whether a line is a message of the server as libpq prints it: the severity, which is one word in every
/// language, then a colon and two blanks (`WARNING:  `, `FEHLER:  `, `ОШИБКА:  `).
fn is_of_server(line: &str) -> bool {
    line.split_once(":  ").is_some_and(|(severity, _)| {
        !severity.is_empty() && severity.chars().all(|c| c.is_alphabetic() || c == '-')
    })
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
        assert_eq!(error.what(), "the script failed: exit code 3");
        assert_eq!(error.causes(), ["x: error: broke"]);
        let fine =
            shell("echo 'x: warning: odd' >&2; echo note >&2").finish(Duration::from_secs(30)).await.unwrap();
        assert_eq!(fine.warnings(), ["x: warning: odd"]);
    }

    #[tokio::test]
    async fn a_signal_and_a_hang_are_failures() {
        let error = shell("kill -9 $$").finish(Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(error.what(), "the script failed: signal 9");
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
            "QUERY:  SELECT secret FROM hr_payslip",
            "CONTEXT:  PL/pgSQL function public.f() line 3 at RAISE",
            "DETAIL:  Key (iban)=(DE02) already exists.",
            "Command was: CREATE INDEX x ON y (z: error: w)",
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
