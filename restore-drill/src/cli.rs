//! The command line: parse, call, print, and turn the verdict into an exit code.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::{SnapshotId, counted};
use lifeboat::program::help::{Detail, laid_out};
use lifeboat::program::manual;
use lifeboat::program::version::{Facts, VERSION, long as version_text};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::accept::Acceptance;
use crate::begin_anew;
use crate::check::{Check, Severity};
use crate::checks;
use crate::completions;
use crate::drill;
use crate::plan::{self, Plan};
use crate::publish::Files;
use crate::say;
use crate::setup::Setup;
use crate::vault::Vault;
use crate::verdict::Verdict;

/// The exit code of a wrong plan or argument, as clap's own.
const USAGE: u8 = 2;

const EXIT_CODES: &str = "\
Exit codes:
  0  passed: restored, validated, and within the objectives
  1  failed: restored data, or the archive, is missing, damaged or contradictory
  2  the plan, a check or an argument is wrong; nothing was done
  3  missed objective: the data is right, but too old (RPO) or too late (RTO)
  4  could not run: the snapshot is neither proved nor refuted, or the report
     could not be stored";

const PLAN: &str = "\
Plan, a TOML file (paths are relative to it):
  # the configuration of this restore host, with the identity
  config = \"/etc/lifeboat/restore.toml\"
  tenant = \"shop\"
  # optional; the default is the tenant's latest snapshot
  snapshot = \"20261120T015812Z-dump-4f3a9c1e\"
  [objective]            # optional; without it RPO and RTO are measured only
  rpo = \"24h\"            # from the snapshot's state to the start of the drill
  rto = \"30m\"            # from the start of the drill to the last check
  [checks]
  extra_dir = \"checks\"   # optional; your own checks, <area>/<ID>.sql
  timeout = \"5m\"         # of one check
  # optional, one for each check: known violations that do not fail the drill
  [[accept]]
  check = \"ACC01\"        # a hard check
  max = 3                # more violations fail the drill
  reason = \"three invoices of 2019\"   # is part of the report
  until = \"2027-01-31\"   # after that day, UTC, they fail the drill again
  [postgres]             # optional; the default fits the snapshot's version
  bin_dir = \"/usr/lib/postgresql/17/bin\"
  [scratch]
  dir = \"/var/tmp\"       # for the restored data; other users must be able to
                         # enter it
  keep = false           # whether the restored data stays
  [lifeboat]             # optional; the default is the one beside
                         # restore-drill, then the one on the PATH
  program = \"/usr/bin/lifeboat\"";

const EXAMPLES: &str = "\
Examples:
  restore-drill run shop.toml
  restore-drill run shop.toml --snapshot 20261120T015812Z-dump-4f3a9c1e
  restore-drill run shop.toml --json --report-dir /var/lib/drills";

/// Prove that a snapshot can be restored: restore it, check it, measure RPO and RTO
///
/// Restores Lifeboat snapshots into a scratch place, checks the business data in them, and reports the
/// measured RPO and RTO.
#[derive(Parser)]
#[command(
    name = "restore-drill",
    version = VERSION,
    long_version = version_text(),
    max_term_width = 100,
    after_help = EXIT_CODES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the drill of a plan
    ///
    /// Restores a snapshot with the shipped `lifeboat restore` into a private PostgreSQL that listens on no
    /// network, neutralized. Checks the file of every attachment, tables and indexes, the baseline of the backup,
    /// and the business checks. Then removes everything, and writes report.json and report.md into the
    /// repository under instances/<instance>/drills/<id>/.
    #[command(after_long_help = format!("{PLAN}\n\n{EXIT_CODES}\n\n{EXAMPLES}"))]
    Run(Run),
    /// List the business checks
    #[command(after_long_help = "\
Examples:
  restore-drill checks
  restore-drill checks --extra-dir checks --json")]
    Checks(Checks),
    /// Print the completion script of a shell
    #[command(after_long_help = "\
Examples:
  restore-drill completions bash > /etc/bash_completion.d/restore-drill
  # in ~/.zshrc, after compinit
  source <(restore-drill completions zsh)")]
    Completions(completions::Args),
    /// Write the manual pages into a directory, in place of older ones
    #[command(after_long_help = "\
Examples:
  restore-drill man /usr/local/share/man/man1
  man restore-drill-run")]
    Man(Man),
    /// Print version, commit, and supported PostgreSQL versions
    #[command(after_long_help = "\
Examples:
  restore-drill version
  restore-drill version --json")]
    Version(Version),
}

#[derive(Args)]
struct Run {
    /// The plan
    plan: PathBuf,
    /// Drill with this snapshot instead of the plan's
    #[arg(long, value_name = "ID")]
    snapshot: Option<SnapshotId>,
    /// Also write the report to DIR/<drill id>/
    #[arg(long, value_name = "DIR")]
    report_dir: Option<PathBuf>,
    /// Keep the scratch directory, which holds production data, for someone to look at
    #[arg(long)]
    keep: bool,
    /// Print report.json on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Checks {
    /// Also list the checks of this directory
    #[arg(long, value_name = "DIR")]
    extra_dir: Option<PathBuf>,
    /// As JSON, with the reason and the statement of each check
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Man {
    /// The directory; it must exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Args)]
struct Version {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Whether a known violation is of a check that could fail a drill.
fn acceptable(plan: &Plan, known: &Acceptance, catalogue: &checks::Catalogue) -> Result<()> {
    let what = match catalogue.checks.iter().find(|check| check.id == known.check) {
        Some(check) if check.severity == Severity::Hard => return Ok(()),
        Some(check) => format!("is a check of severity {}: it fails no drill", check.severity),
        None => "is no check".to_owned(),
    };
    Err(Error::new(Kind::Config, format!("{}: accept.check: {:?} {what}", plan.file.display(), known.check))
        .effect("no drill was run")
        .next("restore-drill checks lists them"))
}

/// Runs the program; its exit code.
pub fn main() -> ExitCode {
    if let Some(code) = completions::answered(Cli::command) {
        return code;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = Cli::try_parse_from(&arguments).unwrap_or_else(|error| with_help(error, arguments).exit());
    let code = match cli.command {
        Command::Checks(arguments) => list(&arguments).map(|()| 0).map_err(|e| (e, USAGE)),
        Command::Completions(arguments) => arguments.print().map(|()| 0).map_err(|e| (e, USAGE)),
        Command::Man(arguments) => manual_pages(&arguments.dir).map(|()| 0).map_err(|e| (e, USAGE)),
        Command::Version(arguments) => version(arguments.json).map(|()| 0).map_err(|e| (e, USAGE)),
        Command::Run(arguments) => begin_anew::without_libpqs()
            .map_err(|e| (e, Verdict::CouldNotRun.exit_code()))
            .and_then(|()| run(arguments)),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err((error, code)) => {
            say::error(&error);
            ExitCode::from(code)
        }
    }
}

/// Help is laid out where it is shown.
fn with_help(error: clap::Error, arguments: Vec<OsString>) -> clap::Error {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let parser = laid_out(Cli::command(), Detail::of(&arguments));
            parser.try_get_matches_from(arguments).err().unwrap_or(error)
        }
        _ => error,
    }
}

fn manual_pages(dir: &Path) -> Result<()> {
    let written = manual::write(&manual::pages(Cli::command())?, dir)?;
    answer(&format!("{} in {}\n", counted(written.len(), "manual page"), dir.display()))
}

fn version(json: bool) -> Result<()> {
    answer(&match json {
        true => format!("{:#}\n", json!(Facts::of("restore-drill"))),
        false => format!("restore-drill {}\n", version_text()),
    })
}

fn answer(text: &str) -> Result<()> {
    say::answer(text).map_err(|e| Error::new(Kind::Io, "cannot write to standard output").because(e))
}

fn run(arguments: Run) -> Result<u8, (Error, u8)> {
    let mut plan = plan::load(&arguments.plan).map_err(|e| (e, USAGE))?;
    plan.keep |= arguments.keep;
    plan.snapshot = arguments.snapshot.or(plan.snapshot);
    let catalogue = checks::load(plan.checks_extra_dir.as_deref()).map_err(|e| (e, USAGE))?;
    plan.accepted
        .iter()
        .try_for_each(|known| acceptable(&plan, known, &catalogue))
        .map_err(|e| (e, USAGE))?;
    let program = lifeboat_program(plan.lifeboat.as_deref()).map_err(|e| (e, USAGE))?;
    let setup = Setup { plan, catalogue, program };
    let could_not = |e| (e, Verdict::CouldNotRun.exit_code());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|e| Error::new(Kind::Io, "cannot start the runtime").because(e))
        .map_err(could_not)?;
    runtime.block_on(drill(&setup, arguments.report_dir.as_deref(), arguments.json)).map_err(could_not)
}

async fn drill(setup: &Setup, report_dir: Option<&Path>, json: bool) -> Result<u8> {
    let cancel = on_signals()?;
    // Opened within the first stage: its time belongs to the RTO, its failure into a report.
    let mut vault = None;
    let chosen = async {
        let opened = vault.insert(Vault::open(&setup.plan.config).await?);
        opened.choose(&setup.plan.tenant, setup.plan.snapshot.as_ref()).await
    };
    let mut report = drill::run(setup, chosen, &cancel).await;
    let vault = vault.as_ref();
    let files = Files::of(&mut report, vault.map(Vault::repository), vault.and_then(Vault::key))?;
    let stored = store(&report.drill, &files, vault, report_dir).await;
    if json {
        let text = String::from_utf8_lossy(&files.json);
        answer(&text)?;
    }
    match stored {
        Ok(()) => Ok(report.exit_code),
        Err(error) => {
            say::error(&error);
            // Evidence that is nowhere does not count, but damage that was seen stays damage.
            Ok(if report.verdict == Verdict::Failed {
                report.exit_code
            } else {
                Verdict::CouldNotRun.exit_code()
            })
        }
    }
}

/// Tries every place, then tells of the first that failed.
async fn store(
    drill: &str,
    files: &Files<'_>,
    vault: Option<&Vault>,
    report_dir: Option<&Path>,
) -> Result<()> {
    let mut first = Ok(());
    if let Some(dir) = report_dir {
        match files.write_to(dir, drill) {
            Ok(place) => say::line(&format!("report: {}", place.display())),
            Err(e) => first = Err(e.effect("the report of this drill is not in that directory")),
        }
    }
    match vault {
        None if report_dir.is_none() => {
            say::line("report: none, since the repository could not be opened; see --report-dir")
        }
        None => {}
        Some(vault) => match vault.publish(drill, files).await {
            Ok(place) => {
                let signed =
                    if files.key.is_some() { "signed" } else { "not signed: signing.key_file is not set" };
                say::line(&format!("report: {place} ({signed})"));
            }
            Err(e) => first = first.and(Err(e.effect("the report of this drill is not in the repository"))),
        },
    }
    first
}

/// Cancelled by the first of the signals that end a program.
fn on_signals() -> Result<CancellationToken> {
    let cancel = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals =
            signal(kind).map_err(|e| Error::new(Kind::Io, "cannot listen to signals").because(e))?;
        let cancel = cancel.clone();
        // Ends with the runtime.
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                say::line("  stopping: the scratch place is torn down first");
                cancel.cancel();
            }
        });
    }
    Ok(cancel)
}

/// The program that restores: the plan's, the one beside this program, or the one on the PATH.
fn lifeboat_program(named: Option<&Path>) -> Result<PathBuf> {
    const NAME: &str = "lifeboat";
    let missing = |what: String| Err(Error::new(Kind::Config, what).effect("no drill was run"));
    if let Some(path) = named {
        return match path.is_file() {
            true => Ok(path.to_owned()),
            false => missing(format!("{} is not there, which [lifeboat] program names", path.display())),
        };
    }
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|own| own.parent().map(|dir| dir.join(NAME)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join(NAME));
    match beside.into_iter().chain(on_path).find(|candidate| candidate.is_file()) {
        Some(found) => Ok(found),
        None => missing("the program lifeboat is neither beside restore-drill nor on the PATH".to_owned())
            .map_err(|e| e.next("name it in the plan: [lifeboat] program")),
    }
}

fn list(arguments: &Checks) -> Result<()> {
    let catalogue = checks::load(arguments.extra_dir.as_deref())?;
    let mut text = String::new();
    if arguments.json {
        let list: Vec<_> = catalogue.checks.iter().map(as_json).collect();
        text = format!("{:#}\n", json!({ "checks": list }));
    } else {
        for check in &catalogue.checks {
            let (versions, title) = (check.versions.to_string(), &check.title);
            text.push_str(&format!(
                "{:<8}{:<11}{:<6}{versions:<7}{title}\n",
                check.id, check.area, check.severity
            ));
        }
    }
    answer(&text)
}

fn as_json(check: &Check) -> serde_json::Value {
    json!({
        "id": check.id,
        "area": check.area,
        "severity": check.severity,
        "title": check.title,
        "versions": check.versions.to_string(),
        "requires": check.requires.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "reason": check.reason,
        "sql": check.sql,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_sound_and_its_help_fits_80_columns() {
        Cli::command().debug_assert();
        for detail in [Detail::Short, Detail::Long] {
            let program = laid_out(Cli::command().term_width(80), detail);
            let below = program.get_subcommands().cloned().collect::<Vec<_>>();
            for mut command in below.into_iter().chain([program]) {
                let text = command.render_help().to_string();
                let wide = text.lines().find(|line| line.chars().count() > 80);
                assert_eq!(wide, None, "{}", command.get_name());
                let own = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
                assert!(own.lines().all(|line| line.chars().count() <= 80), "{own}");
            }
        }
        for text in [PLAN, EXIT_CODES, EXAMPLES] {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "cut where it is shown: {text}");
        }
    }
}
