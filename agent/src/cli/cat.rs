//! `lifeboat cat`.

use std::path::PathBuf;

use super::past::PastArgs;
use super::trust::TrustArgs;
use super::{App, Done, identity};
use crate::error::Result;
use crate::names::SnapshotId;
use crate::recovery::single::write_file;

/// Write one file of a snapshot to standard output
///
/// The file is `globals.sql` of a globals snapshot, `dump.pgc` of a dump (for pg_restore), an attachment of a
/// filestore by its store_fname, or a file of a configuration by its path in `lifeboat show`. It is checked
/// to its end before the first byte is written.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat cat 20261120T015812Z-globals-4f3a9c1e globals.sql \\
      --identity id.txt | psql
  lifeboat cat 20261120T015812Z-dump-1b2c3d4e dump.pgc \\
      --identity id.txt > retail_north.dump")]
pub struct Args {
    /// The snapshot
    #[arg(value_name = "SNAPSHOT")]
    snapshot: SnapshotId,
    /// The file in it
    #[arg(value_name = "PATH")]
    path: String,
    /// The age identity that opens the backup; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// As of when it is read.
    #[command(flatten)]
    pub past: PastArgs,
}

/// Fetches, checks, writes.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let identities = identity::identities(&args.identity, &config)?;
    let out = std::io::stdout();
    write_file(&config, &args.snapshot, &args.path, identities, &trust, &app.cancel, out).await?;
    Ok(Done::Complete)
}
