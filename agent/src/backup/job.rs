//! What a backup run works with: everything opened and checked once.

use crate::archive::manifest::{Manifest, Origin};
use crate::archive::seal::Recipients;
use crate::archive::signature::SigningKey;
use crate::catalog::state::StateDir;
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::names::ReleaseId;
use crate::postgres::connect::PostgresOptions;
use crate::progress::Progress;
use crate::repository::Repository;
use crate::repository::lease::Watch;
use crate::repository::writer::{PackSettings, SnapshotWriter};
use tokio_util::sync::CancellationToken;

/// A run in progress.
pub struct Job {
    /// Where it goes.
    pub repository: Repository,
    /// What manifests say of where they belong.
    pub origin: Origin,
    /// Who will be able to open it.
    pub recipients: Recipients,
    /// Who signs.
    pub signing: SigningKey,
    /// The locked state directory.
    pub state: StateDir,
    /// The server.
    pub postgres: PostgresOptions,
    /// The settings of backups.
    pub backup: config::Backup,
    /// `data_dir/filestore`, where filestores are wanted.
    pub filestores: Option<std::path::PathBuf>,
    /// The release that everything is tied to.
    pub release: Option<ReleaseId>,
    /// What is shown to people.
    pub progress: Progress,
    /// Ends the run.
    pub cancel: CancellationToken,
    /// The right to write.
    pub lease: Watch,
}

impl Job {
    /// The error of a run that was stopped.
    pub fn stop_if_cancelled(&self) -> Result<()> {
        crate::backup::pace::Pace::new(None, self.cancel.clone()).stop_if_cancelled()
    }

    /// Makes a snapshot exist, unless the run was stopped or has lost its lease.
    pub async fn publish(&self, snapshot: &SnapshotWriter, manifest: &Manifest) -> Result<()> {
        self.stop_if_cancelled()?;
        self.lease.while_held(snapshot.publish(manifest, &self.signing)).await
    }

    /// How packs are made.
    pub fn pack_settings(&self) -> PackSettings {
        PackSettings { zstd_level: self.backup.zstd_level, pack_bytes: self.backup.pack_bytes }
    }
}

/// Runs blocking work off the async threads.
pub async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "a blocking task panicked").because(e)))
}
