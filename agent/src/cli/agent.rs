//! `lifeboat agent`.

use super::{App, Done};
use crate::error::Result;
use crate::wal::stream;

/// Stream WAL into the repository, for as long as it runs
///
/// A replication client with a slot of its own (wal.slot, made when it is not there): what the
/// server writes is stored within about a second, in pieces while a segment grows. The server is
/// told that WAL is flushed only when the repository holds it, so the slot's name in
/// synchronous_standby_names makes commits wait for that. What passes by itself (a restart, a store
/// that refuses) is waited out. SIGTERM ends it well. The role needs REPLICATION.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat agent
  lifeboat agent -v --no-progress          as a service: every connection in the log")]
pub struct Args {}

/// Streams until it is asked to stop.
pub async fn run(_: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    let shown = app.progress("WAL", None);
    stream::run(&config, shown.clone(), &app.cancel).await?;
    Ok(Done::Complete)
}
