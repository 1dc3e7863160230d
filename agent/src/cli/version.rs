//! `lifeboat version`.

use serde_json::json;

use super::{App, Done};
use crate::archive::manifest::FORMAT;
use crate::error::Result;

/// Print the version of the program and of the archive format it writes
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat version
  lifeboat version --json")]
pub struct Args {}

/// Prints it.
pub fn run(_: Args, app: &App) -> Result<Done> {
    let version = env!("CARGO_PKG_VERSION");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let facts =
        json!({ "program": "lifeboat", "version": version, "archive_format": FORMAT, "target": target });
    app.print(&facts, || format!("lifeboat {version} ({target}), archive format {FORMAT}"))?;
    Ok(Done::Complete)
}
