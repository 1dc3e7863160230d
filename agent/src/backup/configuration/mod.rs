//! Stores the configuration as a snapshot of its own: what `capture` gives, and what a pipeline attached.
//!
//! It uses neither the lock nor the lease of backups: a checkpoint must not wait for a backup that takes an
//! hour. Two captures of one host follow each other. It asks PostgreSQL only before the first snapshot of an
//! instance, whose name is then bound to the cluster.

mod attach;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::archive::keyed::DigestKey;
use crate::archive::manifest::{Facts, Manifest, Origin, SnapshotKind};
use crate::archive::seal::Recipients;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::backup::job::{on_blocking_thread, signing_key};
use crate::backup::last_step::LastSteps;
use crate::backup::pace::Pace;
use crate::capture::{capture, is_configured};
use crate::catalog::state::StateDir;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::ReleaseId;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server::server_info;
use crate::postgres::session::Session;
use crate::progress::Progress;
use crate::repository::writer::{PackSettings, SnapshotWriter};
use crate::repository::{Repository, layout};

/// How long it waits for another capture of this host.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How often it looks meanwhile.
const LOCK_LOOK: Duration = Duration::from_millis(250);

/// Captures the configuration and stores it, with these files and folders attached. `None` where nothing is
/// configured and nothing attached. Idempotent in what it captures: an unchanged configuration gives the same
/// [`ConfigFacts::sha256`](crate::archive::manifest::ConfigFacts::sha256) under a new ID.
///
/// What could not be captured is in the manifest (`left_out`): the caller decides what that means.
///
/// # Errors
/// What prevented it; then there is no snapshot. `Busy` where another capture of this host takes longer than
/// a minute. An attached file that cannot be read is an error.
pub async fn store(
    config: &Config,
    release: Option<ReleaseId>,
    attach: &[PathBuf],
    progress: Progress,
    cancel: CancellationToken,
) -> Result<Option<Manifest>> {
    if !is_configured(&config.configuration) && attach.is_empty() {
        return Ok(None);
    }
    let recipients = Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())?;
    let signing = signing_key(config)?;
    let key = DigestKey::of(&signing)?;
    let paths = attach.to_vec();
    let attached = on_blocking_thread(move || attach::find(&paths)).await?;
    let state = lock(config, &cancel).await?;
    let repository = Repository::configured(config).await?;
    let origin = bind(config, &repository, &signing).await?;
    let snapshots = layout::snapshots(repository.instance());
    repository.store().clean_leftovers_of(&snapshots, layout::is_of_configuration).await?;
    let last_steps = LastSteps::of(&state, config, &signing)?;
    last_steps.finish(&repository, &origin, &signing).await?;

    progress.stage("capturing the configuration");
    let packs = PackSettings { zstd_level: config.backup.zstd_level, pack_bytes: config.backup.pack_bytes };
    let snapshot =
        SnapshotWriter::begin(&repository, &origin, &recipients, packs, SnapshotKind::Config, None, None);
    let captured = capture(&config.configuration, &key, &cancel).await?;
    let mut facts = captured.facts(&key);
    let pace = Pace::new(config.backup.read_bytes_per_second_max, cancel.clone());
    let (writer, shown) = (snapshot.clone(), progress.clone());
    let written =
        on_blocking_thread(move || write::write(&writer, &captured, &attached, &pace, &shown)).await?;
    facts.artifacts = written.artifacts;
    let mut manifest = snapshot.manifest(snapshot.begun(), Facts::Config(facts));
    manifest.release = release;
    manifest.plain_bytes = written.bytes;
    Pace::new(None, cancel).stop_if_cancelled()?;
    last_steps.publish(&snapshot, &manifest, &signing).await?;
    Ok(Some(manifest))
}

/// The lock of captures, when the one before has ended.
async fn lock(config: &Config, cancel: &CancellationToken) -> Result<StateDir> {
    let begun = clock::instant();
    loop {
        match StateDir::open_for_configuration(&config.state_dir, &config.instance) {
            Err(e) if e.kind() == Kind::Busy && begun.elapsed() < LOCK_WAIT => clock::sleep(LOCK_LOOK).await,
            opened => return opened,
        }
        Pace::new(None, cancel.clone()).stop_if_cancelled()?;
    }
}

/// The origin of the manifest. Before the first snapshot of an instance the server says which cluster it is.
async fn bind(config: &Config, repository: &Repository, signing: &SigningKey) -> Result<Origin> {
    let identifier = match repository.origin().await {
        Ok(_) => None,
        Err(e) if e.kind() == Kind::NotFound => ask_server(config).await?,
        Err(e) => return Err(e),
    };
    let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?.with(signing);
    repository.bind_unaltered(identifier.as_deref(), trusted).await
}

async fn ask_server(config: &Config) -> Result<Option<String>> {
    let asked = async {
        let mut session = Session::maintenance(&PostgresOptions::from(&config.postgres)).await?;
        let server = server_info(&mut session).await?;
        session.close().await;
        Ok::<_, Error>(server.system_identifier)
    };
    asked.await.map_err(|e| {
        e.context("this is the first snapshot of the instance: its cluster must be known")
            .effect("nothing was stored")
            .next("take the first backup on the database's host: lifeboat backup")
    })
}
