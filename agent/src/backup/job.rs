//! What a backup run needs: everything opened and checked once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::archive::manifest::{Manifest, Origin, SnapshotKind};
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::backup::last_step::LastSteps;
use crate::catalog::state::StateDir;
use crate::config::{self, Class, Config};
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, TenantName};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server::{ServerInfo, server_info};
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::repository::lease::{Lease, Watch};
use crate::repository::sealed_for::SealedFor;
use crate::repository::writer::{PackSettings, SnapshotWriter};
use crate::repository::{Repository, layout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A run in progress.
pub struct Job {
    /// The repository.
    pub repository: Repository,
    /// What manifests say about repository and instance.
    pub origin: Origin,
    /// Who can decrypt it.
    pub sealed_for: SealedFor,
    /// Who signs.
    pub signing: SigningKey,
    /// Whose signatures are believed.
    pub trusted: TrustedKeys,
    /// Publishes snapshots.
    pub last_steps: LastSteps,
    /// The locked state directory.
    pub state: StateDir,
    /// The server.
    pub postgres: PostgresOptions,
    /// The settings of backups.
    pub backup: config::Backup,
    /// The recovery classes.
    pub classes: BTreeMap<String, Class>,
    /// Odoo's `data_dir`, the directory that holds `filestore/`; `None` if no filestore is backed up.
    pub data_dir: Option<std::path::PathBuf>,
    /// The release that everything is tied to.
    pub release: Option<ReleaseId>,
    /// The cluster's identity, where the server told it.
    pub system_identifier: Option<String>,
    /// What a person sees.
    pub progress: Progress,
    /// Ends the run.
    pub cancel: CancellationToken,
    /// The right to write.
    pub lease: Watch,
}

/// A job with its locks.
pub struct Begun {
    /// The job.
    pub job: Job,
    /// What the server is.
    pub server: ServerInfo,
    /// Held until the end; when it is lost, the job is cancelled.
    pub lease: Lease,
    /// Cancels the job.
    pub stops: AbortOnDropHandle<()>,
}

impl Job {
    /// Opens and checks everything, and takes lock and lease.
    pub async fn begin(
        config: &Config,
        filestores: bool,
        release: Option<ReleaseId>,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Begun> {
        let sealed_for = SealedFor::load(config)?;
        let signing = signing_key(config)?;
        let state = StateDir::open(&config.state_dir, &config.instance)?;
        let cancel = cancel.child_token();
        let postgres = PostgresOptions::from(&config.postgres).stopped_by(&cancel);
        let repository = Repository::configured(config).await?;
        let mut session = Session::maintenance(&postgres).await?;
        let server = server_info(&mut session).await?;
        session.close().await;
        let lease = Lease::take(&repository, state.holder()).await?;
        let watch = lease.watch();
        let (lost, stop) = (watch.lost().clone(), cancel.clone());
        let stops = AbortOnDropHandle::new(tokio::spawn(async move {
            lost.cancelled().await;
            stop.cancel();
        }));
        let data_dir = match filestores {
            true => Some(config.data_dir()?.to_owned()),
            false => None,
        };
        let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?.with(&signing);
        let origin = repository.bind_unaltered(server.system_identifier.as_deref(), trusted.clone()).await?;
        // Only those of backups: the agent may be storing WAL and arrivals at the same time, and a checkpoint
        // the configuration.
        let of_backups = |key: &str| !layout::is_of_configuration(key);
        let snapshots = layout::snapshots(&config.instance);
        let leftovers = repository.store().clean_leftovers_of(&snapshots, of_backups).await?;
        if leftovers > 0 {
            progress.note(format!("removed {leftovers} unfinished uploads of earlier runs"));
        }
        let last_steps = LastSteps::of(&state, config, &signing)?;
        for id in last_steps.finish(&repository, &origin, &signing).await? {
            progress.note(format!(
                "snapshot {id} is complete now: an earlier run ended before it stored the manifest"
            ));
        }
        let job = Job {
            last_steps,
            repository,
            origin,
            trusted,
            sealed_for,
            signing,
            state,
            postgres,
            backup: config.backup.clone(),
            classes: config.classes.clone(),
            data_dir,
            release,
            system_identifier: server.system_identifier.clone(),
            progress,
            cancel,
            lease: watch,
        };
        Ok(Begun { job, server, lease, stops })
    }

    /// The error of a run that was stopped.
    pub fn stop_if_cancelled(&self) -> Result<()> {
        crate::backup::pace::Pace::new(None, self.cancel.clone()).stop_if_cancelled()
    }

    /// Publishes a snapshot, unless the run was stopped or has lost its lease.
    pub async fn publish(&self, snapshot: &SnapshotWriter, manifest: &Manifest) -> Result<()> {
        self.stop_if_cancelled()?;
        self.lease.while_held(self.last_steps.publish(snapshot, manifest, &self.signing)).await
    }

    /// Begins a snapshot of this run: of a tenant, for the recipients of its class, or of the whole instance.
    pub fn begin_snapshot(&self, kind: SnapshotKind, tenant: Option<&TenantName>) -> Arc<SnapshotWriter> {
        let recipients = match tenant {
            Some(tenant) => self.sealed_for.tenant(tenant),
            None => self.sealed_for.instance(),
        };
        // What a release may be taken back to is wanted soon.
        let may_be_cold = kind == SnapshotKind::Dump && self.release.is_none();
        let cold = tenant.filter(|_| may_be_cold).and_then(|tenant| self.repository.cold(tenant));
        let packs = PackSettings { zstd_level: self.backup.zstd_level, pack_bytes: self.backup.pack_bytes };
        SnapshotWriter::begin(&self.repository, &self.origin, recipients, packs, kind, tenant, cold)
    }
}

/// Who signs.
///
/// # Errors
/// `Config` where no signing key is set.
pub fn signing_key(config: &Config) -> Result<SigningKey> {
    let file = config.signing.key_file.as_deref().ok_or_else(|| {
        Error::new(Kind::Config, "signing.key_file is not set")
            .effect("nothing was stored: every restore would refuse an unsigned snapshot")
            .next("make a key with lifeboat init, or with ssh-keygen -t ed25519 -N ''")
    })?;
    SigningKey::load(file)
}

/// Runs blocking work off the async threads.
pub async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "a blocking task panicked").because(e)))
}
