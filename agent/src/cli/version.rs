//! `lifeboat version`.

use super::{App, Done};
use crate::error::Result;
use crate::program::version::{Facts, long};

/// Print version, commit, and supported PostgreSQL versions
///
/// Also prints the version of the archive format that this program reads and writes.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat version
  lifeboat version --json")]
pub struct Args {}

/// Prints it.
pub fn run(_: Args, app: &App) -> Result<Done> {
    app.print(&Facts::of("lifeboat"), || format!("lifeboat {}", long()))?;
    Ok(Done::Complete)
}
