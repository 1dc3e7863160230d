//! What following starts from: the repository, and the files that it already holds.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::batch::Storing;
use super::tree::Tree;
use crate::archive::index::Line;
use crate::archive::seal::Recipients;
use crate::archive::signature::TrustedKeys;
use crate::backup::job::{on_blocking_thread, signing_key};
use crate::backup::last_step::LastSteps;
use crate::catalog::held::Held;
use crate::catalog::known;
use crate::catalog::state::StateDir;
use crate::config::Config;
use crate::error::Result;
use crate::names::{SnapshotId, TenantName};
use crate::odoo::blob::BlobName;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::server::server_info;
use crate::postgres::session::Session;
use crate::repository::writer::PackSettings;
use crate::repository::{Repository, layout};

/// Files that are noted at a time.
const NOTED_AT_ONCE: usize = 2_000;

/// Opens and checks everything; asks the repository which snapshots exist, and the state directory which
/// files the backups of the filestores hold.
pub async fn open(
    config: &Config,
    state: &StateDir,
    cancel: &CancellationToken,
) -> Result<(Arc<Storing>, Held)> {
    let recipients = Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())?;
    let signing = signing_key(config)?;
    let tree = Arc::new(Tree::new(config)?);
    let repository = Repository::configured(config).await?;
    let mut session = Session::maintenance(&PostgresOptions::from(&config.postgres)).await?;
    let server = server_info(&mut session).await?;
    session.close().await;
    let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?.with(&signing);
    let origin = repository.bind_unaltered(server.system_identifier.as_deref(), trusted).await?;
    repository.store().clean_leftovers(&layout::arrivals(repository.instance())).await?;
    let last_steps = LastSteps::of(state, config, &signing)?;
    for id in last_steps.finish(&repository, &origin, &signing).await? {
        tracing::info!("batch {id} is complete now: an earlier run ended before it stored the manifest");
    }
    let mut held = Held::open(&state.held_file(), repository.id()).await?;
    note_backups(&mut held, &tree, state, repository.id()).await?;
    let (mut there, _) = repository.snapshot_ids().await?;
    there.extend(repository.arrival_ids().await?);
    // A folder without a manifest does not count, whatever is in it: its files are stored again.
    held.keep_only(&there, &repository.whole_ids().await?).await?;
    let backup = &config.backup;
    let storing = Storing {
        repository,
        origin,
        recipients,
        last_steps,
        signing,
        packs: PackSettings { zstd_level: backup.zstd_level, pack_bytes: backup.pack_bytes },
        tree,
        bytes_per_second_max: backup.read_bytes_per_second_max,
        low_priority: backup.low_priority,
        cancel: cancel.clone(),
    };
    Ok((Arc::new(storing), held))
}

/// Files of one snapshot.
type Chunk = (SnapshotId, Vec<String>);

/// Records the files that the backups of the tenants hold: they need not be stored again.
async fn note_backups(held: &mut Held, tree: &Arc<Tree>, state: &StateDir, repository: &str) -> Result<()> {
    let shared = tree.clone();
    let names = on_blocking_thread(move || shared.names()).await?;
    for tenant in names.into_iter().filter_map(|name| tree.tenant(&name)).collect::<Vec<_>>() {
        let (sender, mut chunks) = mpsc::channel(4);
        let (file, repository) = (state.known_file(&tenant), repository.to_owned());
        let reading = on_blocking_thread(move || read_known(file, &repository, &sender));
        let noting = async {
            while let Some((home, paths)) = chunks.recv().await {
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                held.add(&tenant, &home, &paths).await?;
            }
            Ok(())
        };
        let (read, noted) = tokio::join!(reading, noting);
        noted?;
        if let Err(e) = read {
            told_damaged(&tenant, &e);
        }
    }
    Ok(())
}

fn told_damaged(tenant: &TenantName, e: &crate::error::Error) {
    tracing::warn!("the record of the files of {tenant} cannot be read, so they are stored once more: {e:?}");
}

fn read_known(file: PathBuf, repository: &str, sender: &mpsc::Sender<Chunk>) -> Result<()> {
    let Some(reader) = known::open(&file)?.filter(|reader| reader.known.repository == repository) else {
        return Ok(());
    };
    let table = reader.index.header().snapshots.clone();
    let mut chunks: Vec<Vec<String>> = table.iter().map(|_| Vec::new()).collect();
    let send = |place: usize, paths: Vec<String>| match table.get(place) {
        Some(home) if !paths.is_empty() => sender.blocking_send((home.clone(), paths)).is_ok(),
        _ => true,
    };
    for line in reader.index {
        let Line::File(entry) = line? else { continue };
        // Parts in several snapshots would need all of them; nothing writes such a file.
        let place = entry.parts.first().map(|part| part.snapshot as usize);
        let one = entry.parts.iter().all(|part| Some(part.snapshot as usize) == place);
        let Some(place) = place.filter(|_| one && entry.flaw.is_none()) else { continue };
        if BlobName::parse(entry.path.as_bytes()).is_none() {
            continue;
        }
        let Some(chunk) = chunks.get_mut(place) else { continue };
        chunk.push(entry.path);
        if chunk.len() >= NOTED_AT_ONCE && !send(place, std::mem::take(chunk)) {
            return Ok(());
        }
    }
    for (place, paths) in chunks.into_iter().enumerate() {
        send(place, paths);
    }
    Ok(())
}
