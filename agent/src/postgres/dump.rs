//! Runs pg_dump as a stream. Its bytes count as a dump only after its end was checked.

use std::time::Duration;

use tokio::process::ChildStdout;

use crate::error::{Error, Kind, Result};
use crate::postgres::child::Program;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::safe_settings::LOCK_WAIT;
use crate::postgres::snapshot::Exported;
use crate::postgres::tools::Tools;

/// How long pg_dump may take to exit after its output has ended.
const EXIT_WAIT: Duration = Duration::from_secs(60);

/// How long pg_dump may take for the definitions only, including waits for locks.
const SCHEMA_WAIT: Duration = Duration::from_secs(180);

/// Runs pg_dump for the definitions only and discards its output: it reads every object and locks every
/// table, as a dump does. Returns its warnings.
///
/// # Errors
/// `Postgres` with pg_dump's own message.
pub async fn try_schema(
    tools: &Tools,
    options: &PostgresOptions,
    database: &str,
    encoding: &str,
) -> Result<Vec<String>> {
    let mut command = options.command(tools, &tools.pg_dump(), database)?;
    command.args(["--schema-only", "--file=/dev/null", "--encoding", encoding]);
    command.arg(format!("--lock-wait-timeout={}", LOCK_WAIT.as_millis()));
    let label = format!("pg_dump --schema-only of {}", options.place(database));
    let stderr = Program::start(command, label, false, false, None)?.finish(SCHEMA_WAIT).await?;
    Ok(stderr.warnings())
}

/// A running pg_dump. Dropping it kills it.
pub struct DumpChild {
    program: Program,
}

/// The result of a successful dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpEnd {
    /// Warnings on standard error; the dump is complete nevertheless.
    pub warnings: Vec<String>,
}

impl DumpChild {
    /// Starts `pg_dump --format=custom` without compression (the archive compresses better). It reads the
    /// exported snapshot, if one is given.
    pub fn start(
        tools: &Tools,
        options: &PostgresOptions,
        database: &str,
        snapshot: Option<&Exported>,
    ) -> Result<DumpChild> {
        // PGDATABASE names the database: an argument that contains `=` would be read as a connection
        // string.
        let mut command = options.command(tools, &tools.pg_dump(), database)?;
        command.args(["--format=custom", "--compress=0"]);
        command.arg(format!("--lock-wait-timeout={}", LOCK_WAIT.as_millis()));
        if let Some(Exported { id, encoding }) = snapshot {
            command.args([format!("--snapshot={id}"), format!("--encoding={encoding}")]);
        }
        let label = format!("pg_dump of {}", options.place(database));
        Ok(DumpChild { program: Program::start(command, label, false, true, None)? })
    }

    /// The dump's bytes; can be taken once. Read them to the end before [`DumpChild::finish`]: the end of the
    /// stream alone does not mean that the dump is complete.
    pub fn take_stdout(&mut self) -> Result<ChildStdout> {
        self.program
            .stdout()
            .ok_or_else(|| Error::new(Kind::Internal, "the output of pg_dump was taken twice"))
    }

    /// Waits for pg_dump to exit; only then are the bytes a dump.
    ///
    /// # Errors
    /// `Postgres` with pg_dump's own message if it failed, was killed, or does not end.
    pub async fn finish(self) -> Result<DumpEnd> {
        let stderr = self.program.finish(EXIT_WAIT).await.map_err(|e| {
            e.effect("the dump is incomplete; it gets no snapshot")
                .next("run lifeboat doctor: it names missing privileges and the grants for them")
                .safe("running again is safe")
        })?;
        Ok(DumpEnd { warnings: stderr.warnings() })
    }

    /// Ends pg_dump early, and with it its query in the server.
    pub async fn cancel(mut self) {
        self.program.terminate().await;
    }
}
