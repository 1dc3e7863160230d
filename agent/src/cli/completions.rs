//! `lifeboat completions`: the script that a shell completes our commands with.

use clap_complete::Shell;

use super::{App, Done, parser, print};
use crate::error::{Error, Kind, Result};

/// Print the completion script of a shell
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat completions bash > /etc/bash_completion.d/lifeboat
  lifeboat completions zsh > \"${fpath[1]}/_lifeboat\"
  lifeboat completions fish > ~/.config/fish/completions/lifeboat.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: Args, _: &App) -> Result<Done> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut parser(), "lifeboat", &mut script);
    let script = String::from_utf8(script)
        .map_err(|e| Error::new(Kind::Internal, "the completion script is not UTF-8").because(e))?;
    print::out(&script)?;
    Ok(Done::Complete)
}
