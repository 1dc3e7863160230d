//! `restore-drill completions`: the script that a shell completes our commands with, and what it is offered.

use std::any::TypeId;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use lifeboat::config::{Config, Inputs};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::inventory::offered;
use lifeboat::names::SnapshotId;
use lifeboat::program::completions::{answer, script};

use crate::{plan, say};

/// What `completions` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    /// Prints the script.
    ///
    /// # Errors
    /// `Io` where standard output cannot be written to.
    pub fn print(&self) -> Result<()> {
        let script = script(self.shell, "restore-drill")?;
        say::answer(&script).map_err(|e| Error::new(Kind::Io, "cannot write to standard output").because(e))
    }
}

/// Answers a shell that asks what fits; `None` where none asks.
pub fn answered(command: impl FnOnce() -> Command) -> Option<ExitCode> {
    answer("restore-drill", |words| {
        let words = words.to_vec();
        command().mut_subcommands(|below| below.mut_args(|arg| offering(arg, &words)))
    })
}

/// Snapshots are those of the plan that was typed.
fn offering(arg: Arg, words: &[String]) -> Arg {
    if arg.get_value_parser().type_id() != TypeId::of::<SnapshotId>() {
        return arg;
    }
    let words = words.to_vec();
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let files = words.iter().skip(2).filter(|word| !word.starts_with('-'));
        let plan = files.filter_map(|word| plan::file::load(Path::new(word)).ok()).next();
        let config = plan.and_then(|plan| {
            Config::load(&Inputs { config: Some(plan.config), ..Inputs::from_process() }).ok()
        });
        let (Some(config), Some(typed)) = (config, typed.to_str()) else { return Vec::new() };
        let found = offered::snapshots(&config, typed).into_iter().enumerate();
        found.map(|(at, id)| CompletionCandidate::new(id.to_string()).display_order(Some(at))).collect()
    }))
}
