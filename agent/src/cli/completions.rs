//! `lifeboat completions`: the script that a shell completes our commands with, and what it is offered.

use std::any::TypeId;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::{App, Done, parser, print};
use crate::config::{Config, Inputs};
use crate::error::Result;
use crate::inventory::offered;
use crate::names::{SnapshotId, TenantName};
use crate::program::completions::{answer, script, value_of};

/// What is a new name, or is typed so that a person thinks of it: nothing is offered.
const NOT_OFFERED: [&str; 3] = ["copy", "target", "yes_replace"];

/// Print the completion script of a shell
///
/// It completes commands, options, tenants and snapshot IDs. For tenants and snapshots it asks the program,
/// which reads the configuration, the state directory and the repository, for one second at most. So the user
/// at the prompt must be able to read them. Install the script again with each new version.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat completions bash > /etc/bash_completion.d/lifeboat
  lifeboat completions fish > ~/.config/fish/completions/lifeboat.fish
  # in ~/.zshrc, after compinit
  source <(lifeboat completions zsh)")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: Args, _: &App) -> Result<Done> {
    print::out(&script(args.shell, "lifeboat")?)?;
    Ok(Done::Complete)
}

/// Answers a shell that asks what fits; `None` where none asks.
pub fn answered() -> Option<ExitCode> {
    answer("lifeboat", |words| {
        super::start::make_private(); // the store's credentials pass through this memory
        let given = |option| value_of(words, option);
        let inputs = Inputs {
            config: given("--config").map(PathBuf::from),
            repository: given("--repository"),
            instance: given("--instance"),
            ..Inputs::from_process()
        };
        offering(parser(), &inputs)
    })
}

/// The parser with what it offers for tenants and snapshots, wherever such a value is taken.
fn offering(command: Command, inputs: &Inputs) -> Command {
    let command = command.mut_args(|arg| match offer(&arg, inputs) {
        Some(offer) => arg.add(offer),
        None => arg,
    });
    command.mut_subcommands(|below| offering(below, inputs))
}

fn offer(arg: &Arg, inputs: &Inputs) -> Option<ArgValueCompleter> {
    let (inputs, kind) = (inputs.clone(), arg.get_value_parser().type_id());
    if NOT_OFFERED.contains(&arg.get_id().as_str()) {
        None
    } else if kind == TypeId::of::<TenantName>() {
        Some(ArgValueCompleter::new(move |typed: &OsStr| {
            let names = Config::load(&inputs).map(|config| offered::tenants(&config)).unwrap_or_default();
            let names = names.into_iter().map(|name| name.to_string());
            names
                .filter(|name| typed.to_str().is_some_and(|typed| name.starts_with(typed)))
                .map(candidate)
                .collect()
        }))
    } else if kind == TypeId::of::<SnapshotId>() {
        Some(ArgValueCompleter::new(move |typed: &OsStr| {
            let (Ok(config), Some(typed)) = (Config::load(&inputs), typed.to_str()) else {
                return Vec::new();
            };
            let found = offered::snapshots(&config, typed).into_iter().map(|id| id.to_string());
            found.enumerate().map(|(at, id)| candidate(id).display_order(Some(at))).collect()
        }))
    } else {
        None
    }
}

fn candidate(name: String) -> CompletionCandidate {
    CompletionCandidate::new(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_and_snapshots_are_offered_wherever_they_are_taken() {
        let mut found = Vec::new();
        let parser = offering(parser(), &Inputs::default());
        for command in parser.get_subcommands() {
            let offers = command.get_arguments().filter(|arg| arg.get::<ArgValueCompleter>().is_some());
            found.extend(offers.map(|arg| format!("{} {}", command.get_name(), arg.get_id())));
        }
        let wanted = [
            "backup tenant",
            "checkpoint tenant",
            "checkpoint rehearse",
            "list tenant",
            "show snapshot",
            "diff snapshots",
            "diff tenant",
            "diff database",
            "verify snapshots",
            "verify tenant",
            "restore tenant",
            "restore snapshot",
            "restore files_of",
            "promote tenant",
            "cat snapshot",
        ];
        assert_eq!(found, wanted);
    }
}
