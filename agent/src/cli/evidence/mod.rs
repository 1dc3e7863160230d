//! `lifeboat evidence`: reads and verifies what checkpoints left.

mod export;
mod list;
mod require;
mod shown;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::cli::{App, Done};
use crate::error::Result;

/// Verify, require, export and list the evidence of checkpoints
///
/// A checkpoint stores signed evidence that a release can be undone. `verify` checks such a file offline,
/// with the public key alone. `require` runs in the release itself, and fails without valid evidence for
/// exactly that release. docs/evidence.md shows how other tools verify it.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat evidence verify checkpoint.json --key lifeboat-evidence-key.pub.pem
  lifeboat evidence require --release 2026.11.29 --image DIGEST --max-age 2h
  lifeboat evidence export --release 2026.11.29 DIR
  lifeboat evidence list")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Verify(verify::Args),
    Require(require::Args),
    Export(export::Args),
    List(list::Args),
}

/// The flag that says whose evidence is trusted.
#[derive(clap::Args, Debug)]
struct KeyArgs {
    /// A public key to trust (PEM); may be repeated [default: those of the configuration]
    #[arg(long = "key", value_name = "PUB.pem")]
    keys: Vec<PathBuf>,
}

impl KeyArgs {
    /// The keys. Reads the configuration only where no key is given.
    fn trusted(&self, app: &App) -> Result<TrustedEvidenceKeys> {
        match self.keys.is_empty() {
            true => TrustedEvidenceKeys::configured(&app.config()?.checkpoint),
            false => TrustedEvidenceKeys::load(&self.keys),
        }
    }
}

/// Runs it.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    match args.command {
        Command::Verify(args) => verify::run(args, app),
        Command::Require(args) => require::run(args, app).await,
        Command::Export(args) => export::run(args, app).await,
        Command::List(args) => list::run(args, app).await,
    }
}

/// The releases that have a checkpoint: for `lifeboat list --releases`.
pub async fn releases(app: &App) -> Result<Done> {
    list::list(KeyArgs { keys: Vec::new() }, app).await
}
