//! Following: while the agent runs, each new file of a filestore is in the repository within seconds, so that
//! neither Odoo's garbage collection nor an accident can take a file that a recovered database names.
//!
//! The kernel reports new files, and a scan now and then finds what it did not report. Files that wait are
//! stored in batches ([`SnapshotKind::Arrivals`](crate::archive::manifest::SnapshotKind)). A batch needs no
//! other snapshot, and no other one needs it, as with WAL and a base backup. So following and `lifeboat
//! backup` share no lock, no lease and no list; see docs/decisions/arrivals.md.

mod batch;
mod follower;
mod open;
mod scan;
mod tree;
mod waiting;
mod watching;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::catalog::state::StateDir;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::Result;
use crate::names::{SnapshotId, TenantName};
use follower::{FollowEnd, Follower};
use waiting::Waiting;

/// The wait before a new start: doubled each time.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// The state of one tenant's filestore.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// The tenant.
    pub tenant: TenantName,
    /// Every file that existed at this moment is in the repository.
    pub until: Timestamp,
    /// Files that wait to be stored.
    pub waiting: u64,
}

/// Follows every filestore until `cancel`, and then returns without an error. Whatever else prevents it (the
/// store, the server whose identity it asks for, a key) is logged and tried again. `tell` is called every few
/// seconds with the state of each tenant.
///
/// # Errors
/// `Config` where `odoo.data_dir` is not set.
pub async fn run(
    config: &Config,
    state: &StateDir,
    tell: impl Fn(&[Followed]),
    cancel: &CancellationToken,
) -> Result<()> {
    let mut waiting = Waiting::new();
    let mut backoff = BACKOFF_MIN;
    tree::Tree::new(config)?;
    while !cancel.is_cancelled() {
        let over = match open::open(config, state, cancel).await {
            Ok(opened) => Follower::new(config, opened, &mut waiting)?.run(&tell, cancel).await,
            Err(e) => Err(e),
        };
        match over {
            Ok(FollowEnd::Stopped) => break,
            Ok(FollowEnd::LookAgain) => backoff = BACKOFF_MIN,
            Err(_) if cancel.is_cancelled() => break,
            Err(e) => {
                let wait = clock::span_text(backoff);
                tracing::warn!("new files are not stored as they come; trying again in {wait}: {e:?}");
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = clock::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF_MAX),
                }
            }
        }
    }
    Ok(())
}

/// Stores these files of a tenant now, beside an agent that may follow them too. What only `damaged`
/// snapshots hold counts as not stored. Files that are gone, or do not match their names, are left out: ask
/// the catalog afterwards which are held.
///
/// # Errors
/// Those of the store, and of what [`run`] retries.
pub async fn store_named(
    config: &Config,
    state: &StateDir,
    tenant: &TenantName,
    names: Vec<String>,
    damaged: &[SnapshotId],
    cancel: &CancellationToken,
) -> Result<()> {
    let (storing, mut held) = open::open(config, state, cancel).await?;
    held.forget(damaged).await?;
    let tenant = std::sync::Arc::new(tenant.clone());
    let mut waiting = Waiting::new();
    let fits = |name: &String| crate::odoo::blob::BlobName::parse(name.as_bytes()).is_some();
    for path in names.into_iter().filter(fits) {
        let name = tree::Name { path, tenant: tenant.clone() };
        waiting.add(name, (clock::now(), clock::instant()), false, || None);
    }
    // Each file is tried once: what cannot be stored now stays missing.
    while waiting.count() > 0 && !cancel.is_cancelled() {
        let files = waiting.take(clock::instant(), batch::FILES_MAX);
        let (settled, stored) = batch::store(storing.clone(), &mut held, files).await;
        stored?;
        // The batch was full before these were read.
        for (name, seen, fate) in settled {
            if fate.is_none() {
                waiting.put_back(name, seen);
            }
        }
    }
    Ok(())
}
