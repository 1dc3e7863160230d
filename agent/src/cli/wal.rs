//! `lifeboat wal push` and `lifeboat wal fetch`, which PostgreSQL calls, and `lifeboat wal status`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::past::PastArgs;
use super::trust::TrustArgs;
use super::{App, Done, identity};
use crate::clock::{self, Timestamp};
use crate::config::{Config, Inputs, units};
use crate::error::{Error, Kind, Result};
use crate::names::bytes_text;
use crate::repository::wal::Put;
use crate::repository::wal::file::Extent;
use crate::wal::ahead::ahead;
use crate::wal::along::along;
use crate::wal::fetch::{Report, fetch, fetch_kept};
use crate::wal::push::{is_stored, push};
use crate::wal::source::Outcome;
use crate::wal::status::{Status, status};

/// The exit code of `wal fetch` if the store said that the file does not exist: PostgreSQL then
/// ends recovery, or continues on another timeline.
pub const NOT_THERE: u8 = 1;
/// Added to the usual exit code if `wal fetch` could not ask the store: PostgreSQL stops
/// recovery at codes above 125.
const COULD_NOT_LOOK: u8 = 180;

/// Archive and fetch WAL: for archive_command and restore_command
///
/// `push` exits 0 only when the file is stored durably, and refuses other bytes under a name that is stored.
/// `fetch` exits 1 only when the store said that the file does not exist. If it could not ask, it exits with
/// a code above 180: PostgreSQL then stops instead of ending recovery early.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples, as settings of PostgreSQL:
  archive_command = 'lifeboat wal push %p'
  restore_command = 'lifeboat wal fetch %f %p'
And by hand:
  lifeboat wal status")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Push(PushArgs),
    Fetch(FetchArgs),
    Status(StatusArgs),
}

/// Store a WAL file: archive_command = 'lifeboat wal push %p'
///
/// Exit code 0: the file is stored durably. It is safe to push a file again: equal content is stored once,
/// other content is refused (exit code 17). A finished segment with damaged records is not stored (exit code
/// 10).
///
/// If the segment is still being written, the WAL so far is stored, and a message says up to where. Push it
/// again when the server has finished it.
#[derive(clap::Args, Debug)]
struct PushArgs {
    /// The file in pg_wal: PostgreSQL's %p
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Store what is ready after it, for later calls
    #[arg(long, hide = true)]
    along: bool,
}

/// Fetch a WAL file: restore_command = 'lifeboat wal fetch %f %p'
#[derive(clap::Args, Debug)]
struct FetchArgs {
    /// The file's name: PostgreSQL's %f
    #[arg(value_name = "NAME")]
    name: String,
    /// Where to put the file: PostgreSQL's %p
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The age identity that opens the WAL; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Fetch what comes after it, for later calls
    #[arg(long, hide = true)]
    ahead: bool,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    past: PastArgs,
}

/// Show what WAL is stored, its gaps, and how far it is behind the server
///
/// Exit code 3, a person must look: a gap that no later base backup follows; WAL of two servers; objects
/// without a trusted signature; a slot that is lost, or that keeps more than wal.slot_warn_percent of what it
/// may; nobody streams; archive_command fails; the server cannot be asked; or more behind than --behind-max.
#[derive(clap::Args, Debug)]
struct StatusArgs {
    /// Do not ask the server: for a host that cannot reach it
    #[arg(long)]
    offline: bool,
    /// How old the newest stored WAL may be while the server has newer WAL, such as 5min
    #[arg(long, value_name = "TIME")]
    behind_max: Option<String>,
}

impl Args {
    /// As of when the repository is read.
    pub fn past(&self) -> Option<Timestamp> {
        match &self.command {
            Command::Fetch(args) => args.past.at(),
            Command::Push(_) | Command::Status(_) => None,
        }
    }
}

/// Ends a call at once if its file was stored or fetched ahead: that needs no runtime, store or keys. `None`
/// if only [`run`] can do it.
pub fn run_at_once(args: &Args, inputs: &Inputs, json: bool) -> Result<Option<Done>> {
    match &args.command {
        Command::Push(args) if !args.along => {
            if !is_stored(&Config::load(inputs)?, &args.path) {
                return Ok(None);
            }
            pushed(args, Outcome { put: Put::WasThere, partial_end: None }, json).map(Some)
        }
        Command::Fetch(args) if !args.ahead => {
            if !fetch_kept(&Config::load(inputs)?, &args.name, &args.path)? {
                return Ok(None);
            }
            fetched(&args.name, "whole, fetched ahead", json)?;
            Ok(Some(Done::Complete))
        }
        _ => Ok(None),
    }
}

fn pushed(args: &PushArgs, outcome: Outcome, json: bool) -> Result<Done> {
    let (stored, path, end) = (outcome.put == Put::Stored, args.path.display(), outcome.partial_end);
    let compared = outcome.put != Put::NotCompared;
    match end {
        None => tracing::info!(%path, stored, "archived"),
        Some(_) if !compared => tracing::warn!(
            "{path} is not whole, and more of this segment is stored already; it was not compared with that, \
             because it needs an identity: lifeboat verify --deep --identity FILE checks what is stored"
        ),
        Some(end) => tracing::warn!(
            "{path} is not whole: its WAL up to {end} is stored; push it again when the server has finished it"
        ),
    }
    if json {
        super::print::json(&json!({ "stored": stored, "partial_end": end, "compared": compared }))?;
    }
    Ok(Done::Complete)
}

/// Stores, fetches or looks.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    match args.command {
        Command::Push(args) if args.along => {
            along(&config, &args.path, &app.cancel).await.map(|()| Done::Complete)
        }
        Command::Push(args) => {
            let outcome = push(&config, &args.path, &app.cancel).await?;
            pushed(&args, outcome, app.json)
        }
        Command::Status(args) => show_status(&config, &args, app).await,
        Command::Fetch(args) => run_fetch(args, &config, app).await,
    }
}

async fn run_fetch(args: FetchArgs, config: &Config, app: &App) -> Result<Done> {
    let trust = args.trust.trust(config)?;
    let identities = identity::identities(&args.identity, config)?;
    if args.ahead {
        ahead(config, identities, &trust, &args.name, &args.path, &app.cancel).await?;
        return Ok(Done::Complete);
    }
    let (what, done) = match fetch(config, identities, &trust, &args.name, &args.path, &app.cancel).await? {
        Report::Fetched(Extent::Whole) => ("whole".to_owned(), Done::Complete),
        Report::Fetched(Extent::Tail(bytes)) => (format!("tail of {bytes} bytes"), Done::Complete),
        Report::NotThere => ("not there".to_owned(), Done::NotThere),
    };
    fetched(&args.name, &what, app.json)?;
    Ok(done)
}

fn fetched(name: &str, what: &str, json: bool) -> Result<()> {
    tracing::info!(name, what, "fetched");
    if json {
        super::print::json(&json!({ "fetched": what }))?;
    }
    Ok(())
}

async fn show_status(config: &Config, args: &StatusArgs, app: &App) -> Result<Done> {
    let behind_max = args.behind_max.as_deref().map(|text| {
        let milliseconds = units::duration(text).ok_or_else(|| {
            Error::new(Kind::Usage, format!("{text:?} is not a time such as 30s, 5min or 2h"))
        });
        milliseconds.map(|milliseconds| milliseconds as i64 / 1_000)
    });
    let behind_max = behind_max.transpose()?;
    let mut status = app.looking(status(config, args.offline)).await?;
    let behind = status.server.as_ref().and_then(|server| server.behind_seconds);
    if let (Some(most), Some(behind)) = (behind_max, behind)
        && behind > most
    {
        status.problems.push(format!("the repository is {behind} s behind the server; {most} s are allowed"));
    }
    app.print(&status, || text(&status))?;
    if let Some(e) = &status.server_error {
        super::print::error(e, false);
    }
    Ok(if status.problems.is_empty() { Done::Complete } else { Done::Incomplete })
}

fn text(status: &Status) -> String {
    let mut out = format!("instance {}\n", status.instance);
    for timeline in &status.timelines {
        let stored =
            timeline.stored_at.map_or(String::new(), |at| format!(", newest stored {}", clock::text(at)));
        let _ = writeln!(out, "timeline {}{stored}", timeline.windows.timeline);
        for range in &timeline.windows.ranges {
            let bytes = bytes_text(range.end.0 - range.begin.0);
            let _ = writeln!(out, "  {} to {}  ({bytes})", range.begin, range.end);
        }
    }
    if let Some(server) = &status.server {
        let behind = match (server.behind_bytes, server.behind_seconds) {
            (Some(0), _) => "everything is stored".to_owned(),
            (Some(bytes), Some(seconds)) => {
                format!("{} are not stored yet, for at most {seconds} s", bytes_text(bytes))
            }
            (Some(bytes), None) => format!("{} are not stored yet", bytes_text(bytes)),
            (None, _) => "nothing of it is stored".to_owned(),
        };
        let _ = writeln!(out, "server   timeline {} at {}: {behind}", server.timeline, server.flushed);
        if let Some(slot) = &server.slot {
            let state = slot.status.as_deref().unwrap_or("never used");
            let used = if slot.active { "in use" } else { "not in use" };
            let kept = slot
                .kept_bytes
                .and_then(|bytes| u64::try_from(bytes).ok())
                .map_or(String::new(), |bytes| format!(", keeps {}", bytes_text(bytes)));
            let used = match server.room.as_ref().and_then(|room| room.used_percent) {
                Some(percent) => format!("{used}{kept}, {percent} % of its limit"),
                None => format!("{used}{kept}"),
            };
            let _ = writeln!(out, "slot     {state}, {used}");
        }
    }
    if let Some((file, at)) =
        status.server.as_ref().and_then(|server| server.archiver.as_ref()?.last_archived.as_ref())
    {
        let _ = writeln!(out, "archiver last archived {file} at {}", clock::text(*at));
    }
    for warning in &status.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    for problem in &status.problems {
        let _ = writeln!(out, "problem: {problem}");
    }
    out
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
