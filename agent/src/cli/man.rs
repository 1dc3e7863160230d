//! `lifeboat man`: the manual pages.

use std::path::PathBuf;

use super::{App, Done, parser, print};
use crate::error::Result;
use crate::names::counted;
use crate::program::manual;

/// Write the manual pages into a directory
///
/// Writes lifeboat.1 and a page for each command, as lifeboat-restore.1, in place of older ones. The
/// directory must exist. `restore-drill man DIR` writes those of restore-drill.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat man /usr/local/share/man/man1
  man lifeboat-restore")]
pub struct Args {
    /// The directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes them.
pub fn run(args: Args, app: &App) -> Result<Done> {
    let written = manual::write(&manual::pages(parser())?, &args.dir)?;
    let said = || format!("{} in {}", counted(written.len(), "manual page"), args.dir.display());
    match app.json {
        true => print::json(&serde_json::json!({ "pages": written }))?,
        false => print::out(&said())?,
    }
    Ok(Done::Complete)
}
