//! The command line: parse, call, print. One file a command; this one only chooses among them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::config::{Config, Inputs};
use crate::error::{Error, Kind, Result};
use crate::program::help::{Detail, laid_out};
use crate::program::version::{VERSION, long as version_text};

mod agent;
mod as_production;
mod backup;
mod backup_configuration;
mod bar;
mod cat;
mod checkpoint;
mod ci;
mod commands;
mod completions;
mod configuration;
mod configuration_diff;
mod configuration_text;
mod confirm;
mod diff;
mod doctor;
mod evidence;
mod expire;
mod expire_html;
mod expire_locks;
mod expire_text;
mod fleet;
mod fleet_text;
mod hold;
mod identity;
mod init;
mod list;
mod list_text;
mod log;
mod man;
mod past;
mod policy;
mod policy_text;
pub mod print;
pub mod progress;
mod promote;
mod reenter;
mod reenter_text;
mod release;
mod release_calendar;
mod release_text;
mod released;
mod restore;
mod restore_files;
mod restore_instance;
mod restore_load;
mod restore_tenant;
mod restore_text;
mod rollback;
mod rollback_text;
mod salvage;
mod screen;
mod show;
mod start;
mod status;
mod suspicion;
mod table;
mod trust;
mod verify;
mod version;
mod wal;
mod window;

use progress::{Mode, Shown};

/// Back up Odoo (PostgreSQL and filestore) and restore it
///
/// Backups are encrypted, signed and checksummed. A production host encrypts to recipients (public keys) and
/// cannot read its own backups; a restore host holds the identity. Nothing that is stored is ever
/// overwritten, and a restore overwrites nothing.
#[derive(Parser, Debug)]
#[command(
    name = "lifeboat",
    version = VERSION,
    long_version = version_text(),
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = "\
Exit codes are stable: docs/exit-codes.md lists them. docs/configuration.md lists the keys of lifeboat.toml and \
their environment variables."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes, before its name or after it.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The configuration file [default: $LIFEBOAT_CONFIG, ./lifeboat.toml, /etc/lifeboat/lifeboat.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The repository, instead of repository.url: a directory, or s3://, az:// or gs://bucket/prefix
    #[arg(long, global = true, value_name = "URL")]
    repository: Option<String>,
    /// The instance, instead of the configuration's
    #[arg(long, global = true, value_name = "NAME")]
    instance: Option<String>,
    /// Print the result or the error as JSON on standard output
    #[arg(long, global = true)]
    json: bool,
    /// Print more on standard error; -vv and -vvv print still more
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Print only errors on standard error
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Show no progress
    #[arg(long, global = true)]
    no_progress: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    Init(init::Args),
    Doctor(doctor::Args),
    Backup(backup::Args),
    Checkpoint(Box<checkpoint::Args>),
    Agent(agent::Args),
    Wal(wal::Args),
    Status(status::Args),
    Suspicion(suspicion::Args),
    Window(window::Args),
    List(list::Args),
    Show(show::Args),
    Diff(diff::Args),
    Evidence(evidence::Args),
    Verify(verify::Args),
    Restore(Box<restore::Args>),
    Promote(promote::Args),
    Rollback(rollback::Args),
    Release(release::Args),
    Policy(policy::Args),
    Expire(expire::Args),
    Hold(hold::Args),
    Fleet(fleet::Args),
    AsProduction(as_production::Args),
    Cat(cat::Args),
    Config(configuration::Args),
    Completions(completions::Args),
    Man(man::Args),
    Version(version::Args),
}

impl Command {
    /// As of when the repository is read; `None` for the present.
    fn past(&self) -> Option<Timestamp> {
        match self {
            Command::List(args) => args.past.at(),
            Command::Show(args) => args.past.at(),
            Command::Diff(args) => args.past.at(),
            Command::Window(args) => args.past.at(),
            Command::Verify(args) => args.past.at(),
            Command::Restore(args) => args.past.at(),
            Command::Cat(args) => args.past.at(),
            Command::Wal(args) => args.past(),
            _ => None,
        }
    }
}

/// The whole program: one `match`.
async fn run(command: Command, app: &App) -> Result<Done> {
    match command {
        Command::Init(args) => init::run(args, app).await,
        Command::Backup(args) => backup::run(args, app).await,
        Command::Checkpoint(args) => checkpoint::run(*args, app).await,
        Command::Restore(args) => restore::run(*args, app).await,
        Command::AsProduction(args) => as_production::run(args, app).await,
        Command::Promote(args) => promote::run(args, app).await,
        Command::Rollback(args) => rollback::run(args, app).await,
        Command::Release(args) => app.looking(release::run(args, app)).await,
        Command::Policy(args) => app.looking(policy::run(args, app)).await,
        Command::Expire(args) => app.looking(expire::run(args, app)).await,
        Command::Hold(args) => hold::run(args, app).await,
        Command::Fleet(args) => fleet::run(args, app).await,
        Command::List(args) => app.looking(list::run(args, app)).await,
        Command::Status(args) => app.looking(status::run(args, app)).await,
        Command::Suspicion(args) => app.looking(suspicion::run(args, app)).await,
        Command::Window(args) => app.looking(window::run(args, app)).await,
        Command::Verify(args) => verify::run(args, app).await,
        Command::Show(args) => app.looking(show::run(args, app)).await,
        Command::Diff(args) => app.looking(diff::run(args, app)).await,
        Command::Evidence(args) => app.looking(evidence::run(args, app)).await,
        Command::Cat(args) => cat::run(args, app).await,
        Command::Config(args) => configuration::run(args, app).await,
        Command::Agent(args) => agent::run(args, app).await,
        Command::Wal(args) => wal::run(args, app).await,
        Command::Doctor(args) => app.looking(doctor::run(args, app)).await,
        Command::Completions(args) => completions::run(args, app),
        Command::Man(args) => man::run(args, app),
        Command::Version(args) => version::run(args, app),
    }
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All of it.
    Complete,
    /// The work was done, something in it is missing or differs, and the command said what.
    Incomplete,
    /// The work was done and found something wrong, which the command said: the exit code is this
    /// kind's.
    Failed(Kind),
    /// `wal fetch` alone: the store said that the file is not there.
    NotThere,
}

/// What every command is given.
pub struct App {
    /// What the configuration is loaded from.
    pub inputs: Inputs,
    /// Whether the result is printed as JSON.
    pub json: bool,
    /// How progress is shown.
    pub progress: Mode,
    /// Cancelled by the first SIGINT or SIGTERM.
    pub cancel: CancellationToken,
}

impl App {
    /// The configuration, validated.
    pub fn config(&self) -> Result<Config> {
        Config::load(&self.inputs)
    }

    /// Shows the progress of a job until what is returned is dropped.
    pub fn progress(&self, label: impl Into<String>, bytes_total: Option<u64>) -> Shown {
        Shown::start(self.progress, label, bytes_total)
    }

    /// Work that only looks: a stop ends it where it is, and what it asked of the server is cancelled there,
    /// since its sessions are dropped.
    ///
    /// # Errors
    /// `Interrupted` then; else those of the work.
    pub async fn looking<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.cancel.cancelled() => {
                Err(Error::new(Kind::Interrupted, "stopped by a signal").safe("nothing was changed"))
            }
        }
    }

    /// Prints the result: as JSON where that was asked for, else as text.
    pub fn print<T: Into<screen::Text>>(
        &self,
        json: &impl serde::Serialize,
        text: impl FnOnce() -> T,
    ) -> Result<()> {
        if self.json { print::json(json) } else { print::text(&text().into()) }
    }
}

/// Runs the program and gives its exit code; see `docs/exit-codes.md`.
pub fn main() -> ExitCode {
    if let Some(code) = completions::answered() {
        return code;
    }
    start::report_panics();
    let caught = std::panic::catch_unwind(|| parse_and_run(std::env::args_os().collect()));
    caught.unwrap_or(ExitCode::from(wal::exit_code(Kind::Internal)))
}

fn parse_and_run(args: Vec<OsString>) -> ExitCode {
    let wants_json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let bare = args.len() == 1;
    match Cli::try_parse_from(&args) {
        Ok(cli) => {
            let done = start::on_runtime(cli);
            exit_code(done, wants_json)
        }
        Err(error) => {
            // The first words: what is missing comes before the list of commands.
            if bare && let Err(missing) = Config::load(&Inputs::from_process()) {
                print::err(&format!("{}\n", missing.what()));
            }
            usage(&with_help(error, args), wants_json)
        }
    }
}

/// Help is laid out by us, and only where it is shown: `wal push` has no time for it.
fn with_help(error: clap::Error, args: Vec<OsString>) -> clap::Error {
    let shows_help =
        [ErrorKind::DisplayHelp, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand].contains(&error.kind());
    if !shows_help {
        return error;
    }
    let parser = laid_out(parser(), Detail::of(&args));
    parser.try_get_matches_from(args).err().unwrap_or(error)
}

fn exit_code(done: Result<Done>, json: bool) -> ExitCode {
    match done {
        Ok(Done::Complete) => ExitCode::SUCCESS,
        Ok(Done::NotThere) => ExitCode::from(wal::NOT_THERE),
        Ok(Done::Failed(kind)) => ExitCode::from(wal::exit_code(kind)),
        Ok(Done::Incomplete) => ExitCode::from(wal::exit_code(Kind::Incomplete)),
        Err(error) => {
            print::error(&error, json);
            ExitCode::from(wal::exit_code(error.kind()))
        }
    }
}

/// clap's own words: help and version go to standard output and are no error.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let written = print::out(&text.to_string());
            exit_code(written.map(|()| Done::Complete), false)
        }
        _ => {
            print::err(text.to_string().trim_end());
            if json {
                let what = text.to_string();
                let what = what.trim_start_matches("error: ").lines().next().unwrap_or_default();
                print::json_error(&Error::new(Kind::Usage, what));
            }
            ExitCode::from(wal::exit_code(Kind::Usage))
        }
    }
}

/// The parser, for completions, manual pages, and the test of every help text.
fn parser() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests;
