//! `lifeboat wal push` and `lifeboat wal fetch`: what PostgreSQL calls.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::list::TrustArgs;
use super::{App, Done, identity};
use crate::error::{Kind, Result};
use crate::repository::wal::Put;
use crate::wal::fetch::{self, fetch};
use crate::wal::push::push;

/// What `wal fetch` exits with when the store said that the file is not there: PostgreSQL then
/// ends recovery, or goes on with another timeline.
pub const NOT_THERE: u8 = 1;
/// What is added to the usual exit code when `wal fetch` could not look: PostgreSQL stops
/// recovery at codes above 125.
const COULD_NOT_LOOK: u8 = 180;

/// Archive and fetch WAL: for archive_command and restore_command
///
/// `push` stores a file durably before it exits 0, and refuses other bytes under a name that is
/// stored. `fetch` exits 1 only when the store said that the file is not there; anything that kept
/// it from looking is a code above 180, at which PostgreSQL stops instead of ending recovery early.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples, as settings of PostgreSQL:
  archive_command = 'lifeboat wal push %p'
  restore_command = 'lifeboat wal fetch %f %p'")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Push(PushArgs),
    Fetch(FetchArgs),
}

/// Store a WAL file: archive_command = 'lifeboat wal push %p'
#[derive(clap::Args, Debug)]
struct PushArgs {
    /// The file in pg_wal: PostgreSQL's %p
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

/// Fetch a WAL file: restore_command = 'lifeboat wal fetch %f %p'
#[derive(clap::Args, Debug)]
struct FetchArgs {
    /// The file's name: PostgreSQL's %f
    #[arg(value_name = "NAME")]
    name: String,
    /// Where it is to appear: PostgreSQL's %p
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The age identity that opens the WAL; may be given several times [default: seal.identity_files]
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Stores or fetches.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    match args.command {
        Command::Push(args) => {
            let report = push(&config, &args.path, &app.cancel).await?;
            let stored = report.put == Put::Stored;
            tracing::info!(path = %args.path.display(), stored, along = report.along, "archived");
            if app.json {
                super::print::json(&json!({ "stored": stored, "taken_along": report.along }))?;
            }
            Ok(Done::Complete)
        }
        Command::Fetch(args) => {
            let trust = args.trust.trust(&config)?;
            let identities = identity::identities(&args.identity, &config)?;
            let report = fetch(&config, identities, &trust, &args.name, &args.path, &app.cancel).await?;
            let (what, done) = match report {
                fetch::Report::Whole => ("whole".to_owned(), Done::Complete),
                fetch::Report::Tail(bytes) => (format!("tail of {bytes} bytes"), Done::Complete),
                fetch::Report::NotThere => ("not there".to_owned(), Done::NotThere),
            };
            tracing::info!(name = args.name, what, "fetched");
            if app.json {
                super::print::json(&json!({ "fetched": what }))?;
            }
            Ok(done)
        }
    }
}

/// The exit code of a failure of this process: `wal fetch` has codes of its own, for whatever
/// goes wrong in it, its arguments and our bugs included.
pub fn exit_code(kind: Kind) -> u8 {
    if is_fetch(std::env::args_os().skip(1)) { COULD_NOT_LOOK + kind.exit_code() } else { kind.exit_code() }
}

/// Errs on the side of `wal fetch`: a value that is called so too costs a code, not a recovery.
fn is_fetch(args: impl Iterator<Item = OsString>) -> bool {
    let mut words = args.skip_while(|arg| arg != "wal").skip(1);
    words.any(|arg| arg == "fetch")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetch_is_known_by_its_arguments_even_where_they_are_wrong() {
        let is = |line: &str| is_fetch(line.split(' ').map(OsString::from));
        assert!(is("wal fetch"));
        assert!(is("--config x wal -v fetch --nonsense"));
        assert!(!is("wal push x"));
        assert!(!is("fetch wal"));
    }
}
