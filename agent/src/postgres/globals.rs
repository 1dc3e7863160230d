//! Dumps the roles and tablespaces of the cluster, which are in no dump of a database.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::error::{Error, Kind, Result};
use crate::postgres::child::Program;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::session::{Session, column};
use crate::postgres::tools::Tools;

const BYTES_MAX: u64 = 64 << 20;
const WAIT: Duration = Duration::from_secs(300);
const LAST_LINE: &str = "-- PostgreSQL database cluster dump complete";

/// The output of `pg_dumpall --globals-only`. It contains password hashes if `role_passwords` is true, so it
/// has no `Debug`.
pub struct GlobalsDump {
    /// An SQL script, complete up to its last line.
    pub text: Vec<u8>,
    /// Whether it contains the roles' password hashes.
    pub role_passwords: bool,
    /// Notes for a person: why the hashes are missing, and warnings.
    pub notes: Vec<String>,
}

impl GlobalsDump {
    /// Takes the dump. If the role may not read password hashes, the dump has none, and a note says so.
    /// This is checked first, because pg_dumpall's error would be in the server's language.
    pub async fn take(tools: &Tools, options: &PostgresOptions) -> Result<GlobalsDump> {
        let label = format!("pg_dumpall of {}", options.place(&options.maintenance_database));
        let asked = async {
            let mut session = Session::maintenance(options).await?;
            let encoding = "SELECT pg_catalog.current_setting('server_encoding')";
            let encoding = column(&session.row("read the encoding", encoding).await?, 0)?;
            let from = From { database: session.database().to_owned(), encoding };
            let answer = (may_read_passwords(&mut session).await?, from);
            session.close().await;
            Ok(answer)
        };
        let (role_passwords, from) =
            asked.await.map_err(|e: Error| e.context(format!("{label} did not start")))?;
        let (text, mut notes) = run(tools, options, &from, role_passwords).await?;
        if !role_passwords {
            let user = &options.user;
            notes.insert(
                0,
                format!(
                    "roles are stored without their passwords: {user} may not read pg_authid. Set the \
                passwords again after a restore"
                ),
            );
        }
        Ok(GlobalsDump { text, role_passwords, notes })
    }
}

/// The encoding of the database that pg_dumpall connects to, not the role's `client_encoding`.
struct From {
    database: String,
    encoding: String,
}

/// Whether the role may read the password hashes of all roles: a superuser, or a member of
/// `pg_read_all_data`.
pub async fn may_read_passwords(session: &mut Session) -> Result<bool> {
    let sql = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
    column(&session.row("check the privileges", sql).await?, 0)
}

async fn run(
    tools: &Tools,
    options: &PostgresOptions,
    From { database, encoding }: &From,
    passwords: bool,
) -> Result<(Vec<u8>, Vec<String>)> {
    let mut command = options.command(tools, &tools.pg_dumpall(), database)?;
    command.args(["--globals-only", "--database", database, "--encoding", encoding]);
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
        return Err(Error::new(Kind::Postgres, format!("the output of {label} is incomplete"))
            .because(format!("it has {} bytes and does not end with the line {LAST_LINE:?}", text.len())));
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
