//! What a shell may offer at TAB: tenants and snapshots that this host knows or the repository names, within
//! a second.
//!
//! Nobody waits at a prompt: what was not found by then is left out, and no failure is told. Nothing is
//! opened that would need an identity. Manifests count only with a trusted signature, and only [`is_plain`]
//! names are given.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};

use crate::catalog::state::StateDir;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::program::completions::is_plain;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// How long the repository is asked.
const PATIENCE: Duration = Duration::from_secs(1);
/// Manifests that are read, the newest: a tenant that is in none of them is an old one.
const MANIFESTS_MAX: usize = 400;
/// Manifests fetched at a time.
const AT_ONCE: usize = 16;
/// Snapshots that are given at most, the newest.
const SNAPSHOTS_MAX: usize = 200;

/// What was found so far.
type Found<T> = Mutex<Vec<T>>;

/// Tenants: those of the configuration, those with a record in the state directory, and those of stored
/// snapshots.
pub fn tenants(config: &Config) -> Vec<TenantName> {
    let mut all: BTreeSet<TenantName> = config.odoo.tenants.iter().cloned().collect();
    all.extend(StateDir::tenants_known(&config.state_dir, &config.instance).unwrap_or_default());
    let config = config.clone();
    all.extend(patiently(move |found| block_on(stored_tenants(&config, found))));
    all.into_iter().filter(|tenant| is_plain(tenant.as_str())).collect()
}

/// Snapshots whose ID begins with `prefix`, the newest first.
pub fn snapshots(config: &Config, prefix: &str) -> Vec<SnapshotId> {
    let config = config.clone();
    let all = patiently(move |found| block_on(stored_snapshots(&config, found)));
    let fits = |id: &SnapshotId| id.as_str().starts_with(prefix) && is_plain(id.as_str());
    all.into_iter().rev().filter(fits).take(SNAPSHOTS_MAX).collect()
}

async fn stored_snapshots(config: &Config, found: &Found<SnapshotId>) -> Result<()> {
    let (ids, _) = Repository::configured(config).await?.snapshot_ids().await?;
    add(found, ids);
    Ok(())
}

async fn stored_tenants(config: &Config, found: &Found<TenantName>) -> Result<()> {
    let trust = Trust::keys(&config.signing.trusted_keys)?;
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let (ids, _) = repository.snapshot_ids().await?;
    let of_tenants = ids.iter().rev().filter(|id| ["dump", "filestore"].contains(&id.kind()));
    let mut manifests = stream::iter(of_tenants.take(MANIFESTS_MAX))
        .map(|id| repository.manifest(id, &origin, &trust))
        .buffer_unordered(AT_ONCE);
    while let Some(manifest) = manifests.next().await {
        add(found, manifest.ok().and_then(|manifest| manifest.tenant));
    }
    Ok(())
}

fn add<T>(found: &Found<T>, more: impl IntoIterator<Item = T>) {
    found.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
}

/// What the work has found when it is done, or after a second: a disk may keep its thread waiting for ever.
/// The thread ends with the program, which is here for nothing else.
fn patiently<T: Send + 'static>(work: impl FnOnce(&Found<T>) -> Result<()> + Send + 'static) -> Vec<T> {
    let found = Arc::new(Found::default());
    let (done, is_done) = channel();
    let shared = found.clone();
    let started = std::thread::Builder::new().spawn(move || {
        // why less was found is told nobody
        let _ = work(&shared);
        let _ = done.send(());
    });
    if started.is_ok() {
        let _ = is_done.recv_timeout(PATIENCE);
    }
    std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner))
}

fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    // the TLS of every connection; a second installation would be refused, and would be the same
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Error::new(Kind::Io, "cannot start the runtime").because(e))?.block_on(work)
}
