//! Roles and tablespaces of the cluster, which no dump of a database holds.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::error::{Error, Kind, Result};
use crate::postgres::child::Program;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::tools::Tools;

const BYTES_MAX: u64 = 64 << 20;
const WAIT: Duration = Duration::from_secs(300);
const LAST_LINE: &str = "-- PostgreSQL database cluster dump complete";

/// The output of `pg_dumpall --globals-only`. It holds password hashes where `role_passwords`
/// says so, hence no `Debug`.
pub struct GlobalsDump {
    /// An SQL script, complete to its last line.
    pub text: Vec<u8>,
    /// Whether the roles' password hashes are in it.
    pub role_passwords: bool,
    /// What a person should know about it: why the hashes are missing, warnings.
    pub notes: Vec<String>,
}

impl GlobalsDump {
    /// Takes the dump. Only superusers may read password hashes; for others it is taken without
    /// them, and a note says so.
    pub async fn take(tools: &Tools, options: &PostgresOptions) -> Result<GlobalsDump> {
        match run(tools, options, true).await {
            Ok((text, notes)) => Ok(GlobalsDump { text, role_passwords: true, notes }),
            Err(e) if e.causes().iter().any(|cause| cause.contains("permission denied")) => {
                let (text, mut notes) = run(tools, options, false).await?;
                notes.insert(0, format!(
                    "roles are recorded without their passwords: {} may not read pg_authid; after a restore they must be set anew",
                    options.user
                ));
                Ok(GlobalsDump { text, role_passwords: false, notes })
            }
            Err(e) => Err(e),
        }
    }
}

async fn run(tools: &Tools, options: &PostgresOptions, passwords: bool) -> Result<(Vec<u8>, Vec<String>)> {
    let database = &options.maintenance_database;
    let mut command = options.command(&tools.pg_dumpall(), database)?;
    command.args(["--globals-only", "--database", database]);
    if !passwords {
        command.arg("--no-role-passwords");
    }
    let label = format!("pg_dumpall of {}", options.place(database));
    let mut program = Program::start(command, label.clone(), false, true, None)?;
    let mut text = Vec::new();
    if let Some(stdout) = program.stdout() {
        let mut stdout = stdout.take(BYTES_MAX + 1);
        match tokio::time::timeout(WAIT, stdout.read_to_end(&mut text)).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => {
                return Err(
                    Error::new(Kind::Postgres, format!("cannot read the output of {label}")).because(e)
                );
            }
            Err(_) => {
                return Err(Error::new(
                    Kind::Postgres,
                    format!("{label} did not end within {} s", WAIT.as_secs()),
                ));
            }
        }
    }
    let stderr = program.finish(WAIT).await?;
    if !is_complete(&text) {
        return Err(Error::new(Kind::Postgres, format!("the output of {label} is cut short"))
            .because(format!("{} bytes, and not the line {LAST_LINE:?} at the end", text.len())));
    }
    Ok((text, stderr.warnings()))
}

/// Whether the closing line is near the end: newer minor versions write `\unrestrict` after it.
fn is_complete(text: &[u8]) -> bool {
    let tail = &text[text.len().saturating_sub(1024)..];
    text.len() as u64 <= BYTES_MAX && String::from_utf8_lossy(tail).lines().any(|line| line == LAST_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_without_its_closing_line_is_cut() {
        assert!(is_complete(
            b"CREATE ROLE a;\n--\n-- PostgreSQL database cluster dump complete\n--\n\n\\unrestrict x\n"
        ));
        assert!(!is_complete(b"CREATE ROLE a;\n-- PostgreSQL database cluster dump comp"));
        assert!(!is_complete(b""));
    }
}
