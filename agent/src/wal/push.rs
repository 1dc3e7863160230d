//! `archive_command`: a WAL file into the repository, checked before it is stored.
//!
//! PostgreSQL calls once a file and waits. Where more files are ready behind it, a process is left that stores them
//! (`along`), and the state directory remembers which (`pushed`).
//!
//! A segment that is not whole (`archive::wal_extent` has the rule) is stored as far as it holds WAL, as a range, and the
//! call succeeds: all WAL in the file is durable then, and an `archive_command` that failed for ever would hold up all that comes after it. PostgreSQL
//! asks again for one that grows (a standby with `archive_mode = always`), and the whole one completes what is stored. One that
//! the server has finished and that ends too early is damaged: it is refused, as PostgreSQL would end recovery there without a word.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::along;
use super::pushed::Pushed;
use super::source::{Outcome, Source};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::repository::Repository;

/// Whether the WAL file at `path` is known to be durable in the repository: asks neither the store nor for any key,
/// and waits for a process that is storing it. Blocking. `false` where only [`push`] can tell.
pub fn is_stored(config: &Config, path: &Path) -> bool {
    Pushed::open(config).take(path)
}

/// Stores the WAL file at `path`: all the WAL in it is durable in the repository when this succeeds; idempotent. Begins
/// to store what is ready behind it.
///
/// # Errors
/// `Integrity` where the file is not what its name says, `Repository` where it is another
/// cluster's, `AlreadyExists` where other bytes are stored under its name, and those of the store.
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
    if let Some((segment, size)) = source.segment {
        along::begin(config, path, segment, size);
    }
    let repository = Repository::configured(config).await?;
    let origin = match source.system_identifier.as_deref() {
        Some(system) => repository.bind(Some(system)).await?,
        None => repository.origin().await?,
    };
    source.put(&super::writer(config, repository, origin, keys)?).await
}
