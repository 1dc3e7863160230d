//! What a shell may offer at TAB: tenants and snapshots that this host knows or the repository names, within
//! a second.
//!
//! Nobody waits at a prompt: what was not found by then is left out, and no failure is told. Nothing is
//! opened that would need an identity. Manifests count only with a trusted signature, and only [`is_plain`]
//! names are given.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures::{StreamExt, stream};

use crate::catalog::state::StateDir;
use crate::clock;
use crate::config::Config;
use crate::error::Result;
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

/// Tenants: those of the configuration, those with a record in the state directory, and those of stored
/// snapshots.
pub fn tenants(config: &Config) -> Vec<TenantName> {
    let mut found: BTreeSet<TenantName> = config.odoo.tenants.iter().cloned().collect();
    found.extend(StateDir::tenants_known(&config.state_dir, &config.instance).unwrap_or_default());
    patiently(stored_tenants(config, &mut found));
    found.into_iter().filter(|tenant| is_plain(tenant.as_str())).collect()
}

/// Snapshots whose ID begins with `prefix`, the newest first.
pub fn snapshots(config: &Config, prefix: &str) -> Vec<SnapshotId> {
    let mut found = Vec::new();
    patiently(async {
        let repository = Repository::configured(config).await?;
        found = repository.snapshot_ids().await?.0;
        Ok(())
    });
    let fits = |id: &SnapshotId| id.as_str().starts_with(prefix) && is_plain(id.as_str());
    found.into_iter().rev().filter(fits).take(SNAPSHOTS_MAX).collect()
}

async fn stored_tenants(config: &Config, found: &mut BTreeSet<TenantName>) -> Result<()> {
    let trust = Trust::keys(&config.signing.trusted_keys)?;
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    let (ids, _) = repository.snapshot_ids().await?;
    let of_tenants = ids.iter().rev().filter(|id| ["dump", "filestore"].contains(&id.kind()));
    let mut manifests = stream::iter(of_tenants.take(MANIFESTS_MAX))
        .map(|id| repository.manifest(id, &origin, &trust))
        .buffer_unordered(AT_ONCE);
    while let Some(manifest) = manifests.next().await {
        found.extend(manifest.ok().and_then(|manifest| manifest.tenant));
    }
    Ok(())
}

/// Works until it is done, or for a second.
fn patiently(work: impl Future<Output = Result<()>>) {
    // the TLS of every connection; it is there already where a command runs
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        tokio::select! {
            _ = work => {}
            () = clock::sleep(PATIENCE) => {}
        }
    });
    // A thread that a disk keeps waiting is not waited for.
    runtime.shutdown_background();
}
