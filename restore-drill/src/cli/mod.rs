//! The command line: parse, call, print, and turn the verdict into an exit code.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use lifeboat::archive::rehearsal::Source;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::counted;
use lifeboat::program::help::{Detail, laid_out};
use lifeboat::program::manual;
use lifeboat::program::version::{Facts, long as version_text};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::catalogue::check::{Check, Severity};
use crate::catalogue::{self, Catalogue};
use crate::inside;
use crate::place::kube::objects::Part;
use crate::plan::Plan;
use crate::plan::accept::Acceptance;
use crate::rehearse::{self, Rehearsal};
use crate::report::verdict::Verdict;
use crate::say;
use crate::stages::before::BEFORE;
use crate::stages::files::FILES;
use crate::stages::instance::TENANTS;

mod arguments;
mod completions;
mod reports;
mod run;

use arguments::{Checks, Cli, Command, Rehearse};

/// The exit code of a wrong plan or argument, as clap's own.
const USAGE: u8 = 2;

/// Whether all known violations of the plan are of checks that could fail a drill.
fn all_acceptable(plan: &Plan, catalogue: &Catalogue) -> Result<()> {
    plan.accepted.iter().try_for_each(|known| acceptable(plan, known, catalogue))
}

/// Whether a known violation is of a check that could fail a drill, or of missing files or tenants, or
/// losses.
fn acceptable(plan: &Plan, known: &Acceptance, catalogue: &Catalogue) -> Result<()> {
    if [FILES, BEFORE, TENANTS].contains(&known.check.as_str()) {
        return Ok(());
    }
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
        Command::List(arguments) => read(reports::list(arguments)),
        Command::Show(arguments) => read(reports::show(arguments)),
        Command::Compare(arguments) => read(reports::compared(arguments)),
        Command::Report(arguments) => read(reports::export(arguments)),
        Command::Rehearse(arguments) => rehearse(arguments),
        Command::Inside { part } => inside(part),
        Command::Run(arguments) => run::run(arguments),
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

fn rehearse(arguments: Rehearse) -> Result<u8, (Error, u8)> {
    let wrong = |e| (e, USAGE);
    let (point, dump) = (arguments.to_lsn.zip(arguments.timeline), arguments.dump);
    let source = match (point, dump) {
        (Some((lsn, timeline)), _) => Source::Point { lsn, timeline: timeline.0 },
        (None, Some(snapshot)) => Source::Dump { snapshot },
        (None, None) => return Err(wrong(Error::new(Kind::Usage, "neither --to-lsn nor --dump was given"))),
    };
    let rehearsal = Rehearsal {
        tenant: arguments.tenant,
        source,
        plans: arguments.plan,
        config: arguments.config.unwrap_or_default(),
        identities: arguments.identity,
        counters: arguments.counters,
        program: lifeboat_program(arguments.lifeboat.as_deref()).map_err(wrong)?,
    };
    let setup = rehearsal.setup().map_err(wrong)?;
    all_acceptable(&setup.plan, &setup.catalogue).map_err(wrong)?;
    let rehearsed = async {
        let cancel = on_signals()?;
        if arguments.stop_with_stdin {
            rehearse::stop_with_stdin(&cancel)?;
        }
        let (rehearsed, verdict) = rehearsal.run(&setup, &cancel).await;
        answer(&format!("{}\n", rehearsed.to_json()?))?;
        Ok(verdict.exit_code())
    };
    block_on(rehearsed).map_err(|e| (e, Verdict::CouldNotRun.exit_code()))
}

/// A part of a drill in a pod. A drill that fails is no pod that fails: the report tells.
fn inside(part: Part) -> Result<u8, (Error, u8)> {
    let done = async {
        let cancel = on_signals()?;
        let order = inside::read_order()?;
        let setup = inside::setup(&order, lifeboat_program(None)?)?;
        answer(&inside::run(part, &order, &setup, &cancel).await?)?;
        Ok(0)
    };
    block_on(done).map_err(|e| (e, Verdict::CouldNotRun.exit_code()))
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Error::new(Kind::Io, "cannot start the runtime").because(e))?.block_on(work)
}

/// A command that only reads; its exit code is 4 where it could not.
fn read(work: impl Future<Output = Result<()>>) -> Result<u8, (Error, u8)> {
    let code = |e: Error| match e.kind() {
        Kind::Usage | Kind::Config => (e, USAGE),
        _ => (e, Verdict::CouldNotRun.exit_code()),
    };
    block_on(work).map(|()| 0).map_err(code)
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
                say::line("  stopping: what was restored is removed first");
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
    let catalogue = catalogue::load(arguments.extra_dir.as_deref())?;
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
