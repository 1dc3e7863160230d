//! `archive_command`: stores a WAL file in the repository, after checking it.
//!
//! PostgreSQL calls it once per file and waits. Where the next files are ready, the call leaves a process
//! that stores them (`along`), and the state directory records which (`pushed`).
//!
//! An incomplete segment (the rule is in `archive::wal_extent`) is stored as a range, as far as it contains
//! WAL, and the call succeeds: all WAL in the file is durable then, and an `archive_command` that always
//! failed would stop all later WAL. PostgreSQL asks again for a segment that grows (a standby with
//! `archive_mode = always`), and the complete one completes what is stored. A segment that the server has
//! finished and that ends too early is damaged and is refused: PostgreSQL would end recovery there without an
//! error.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::along;
use super::pushed::Pushed;
use super::source::{Outcome, Source};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::repository::Repository;

/// Whether the WAL file at `path` is known to be durable in the repository. Needs neither the store nor a
/// key, and waits for a process that is storing it. Blocking. `false` where only [`push`] can find out.
pub fn is_stored(config: &Config, path: &Path) -> bool {
    Pushed::open(config).take(path)
}

/// Stores the WAL file at `path`: when this succeeds, all the WAL in it is durable in the repository;
/// idempotent. Starts to store the next files that are ready.
///
/// # Errors
/// `Integrity` where the file does not match its name, `Repository` where it is of another cluster,
/// `AlreadyExists` where other bytes are stored under its name, and those of the store.
pub async fn push(config: &Config, path: &Path, cancel: &CancellationToken) -> Result<Outcome> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::new(Kind::Interrupted, format!("stopped while storing {}", path.display()))
            .effect("the file may or may not be stored; PostgreSQL keeps it and will try again")),
        done = run(config, path) => done,
    }
}

async fn run(config: &Config, path: &Path) -> Result<Outcome> {
    let keys = super::keys(config)?;
    let source = Source::open_beside(path.to_owned()).await?;
    if let Some(segment) = source.segment {
        along::begin(config, path, segment.name, segment.bytes);
    }
    let repository = Repository::configured(config).await?;
    let origin = super::bind(config, &repository, source.system_identifier.as_deref(), &keys.1).await?;
    source.put(&super::writer(config, repository, origin, keys)?).await
}
