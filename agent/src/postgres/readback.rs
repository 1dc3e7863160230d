//! Runs pg_restore over the bytes of a dump while they are uploaded: the dump gets a snapshot only if
//! pg_restore has read it to its end. It reads the stream, not what the repository stored.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use crate::error::{Error, Kind, Result};
use crate::postgres::child::Program;
use crate::postgres::tools::Tools;
use crate::postgres::tools::clean_command;

/// When its input ends, pg_restore has at most one pipe buffer left to read.
const EXIT_WAIT: Duration = Duration::from_secs(120);
/// pg_restore discards its output, so it is stuck if it reads nothing for this long.
const WRITE_WAIT: Duration = Duration::from_secs(300);

/// A `pg_restore` that converts the whole archive to SQL, which is discarded; so it must understand all of
/// it. It connects to no server. Dropping it kills it.
pub struct ReadBack {
    program: Program,
    stdin: Option<ChildStdin>,
    bytes: u64,
    closed_early: bool,
}

impl ReadBack {
    /// Starts the reader.
    pub fn start(tools: &Tools) -> Result<ReadBack> {
        let mut command = clean_command(&tools.pg_restore());
        command.args(["--format=custom", "--file=/dev/null"]);
        let mut program =
            Program::start(command, "pg_restore, reading the dump back,".into(), true, false, None)?;
        let stdin = program.stdin();
        Ok(ReadBack { program, stdin, bytes: 0, closed_early: false })
    }

    /// Passes on the next bytes of the dump, in order. If pg_restore has already failed, the bytes are
    /// dropped and [`ReadBack::finish`] reports why: its message matters, not our broken pipe.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let Some(stdin) = self.stdin.as_mut() else { return Ok(()) };
        match tokio::time::timeout(WRITE_WAIT, stdin.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => {
                self.closed_early = true;
                self.stdin = None;
                Ok(())
            }
            Err(_) => Err(Error::new(
                Kind::Postgres,
                format!("pg_restore, reading the dump back, read nothing for {} s", WRITE_WAIT.as_secs()),
            )),
        }
    }

    /// Ends the input and waits for pg_restore to exit.
    ///
    /// # Errors
    /// `Integrity` if the archive is cut short, damaged or not an archive.
    pub async fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        let refused = |e: Error| {
            e.with_kind(Kind::Integrity).effect("the dump is damaged or incomplete; it gets no snapshot")
        };
        self.program.finish(EXIT_WAIT).await.map_err(refused)?;
        match self.closed_early {
            false if self.bytes > 0 => Ok(()),
            early => Err(refused(
                Error::new(
                    Kind::Integrity,
                    format!("pg_restore did not read the dump's {} bytes to the end", self.bytes),
                )
                .because(if early {
                    "pg_restore closed its input early"
                } else {
                    "the dump is empty"
                }),
            )),
        }
    }
}
