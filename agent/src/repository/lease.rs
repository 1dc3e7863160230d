//! The lease: one writer an instance. A file lock in a local repository; elsewhere the one
//! object that is ever replaced, with If-Match, renewed while the holder lives.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::repository::{Repository, layout};
use crate::store::{Store, Version};

/// How long a lease is good for without being renewed.
const LEASE_SECONDS: i64 = 120;
/// How often it is renewed: three tries fit before it runs out.
const RENEW_EVERY: Duration = Duration::from_secs(30);
const LEASE_BYTES_MAX: u64 = 16 << 10;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Content {
    /// Random id of the holder's state directory: its file lock tells that a former run is dead.
    holder: String,
    /// For people.
    host: String,
    process: u32,
    until: Timestamp,
    released: bool,
}

/// The right to write, held until [`Lease::release`] or for two minutes after the process
/// is gone (a lock in a local repository: until the process is gone).
pub struct Lease {
    held: Held,
    lost: CancellationToken,
}

enum Held {
    File {
        _lock: disk::FileLock,
    },
    Object {
        store: Store,
        key: String,
        content: Content,
        renew: AbortOnDropHandle<()>,
        version: std::sync::Arc<tokio::sync::Mutex<Version>>,
    },
}

impl Lease {
    /// Takes the lease. `holder` names the state directory whose lock the caller holds, so that
    /// a lease left behind by its own killed predecessor is taken over at once.
    ///
    /// # Errors
    /// `Busy` naming who holds it and until when.
    pub async fn take(repository: &Repository, holder: &str) -> Result<Lease> {
        Lease::take_at(repository, holder, layout::lease(repository.instance())).await
    }

    /// The right to stream WAL: apart from that to back up, since the one is held for months.
    pub async fn take_for_wal(repository: &Repository, holder: &str) -> Result<Lease> {
        Lease::take_at(repository, holder, layout::wal_lease(repository.instance())).await
    }

    async fn take_at(repository: &Repository, holder: &str, key: String) -> Result<Lease> {
        let store = repository.store();
        let lost = CancellationToken::new();
        if let Some(root) = store.local_root() {
            let path = root.join(&key);
            if let Some(dir) = path.parent() {
                disk::create_private_dir(dir)?;
            }
            let lock = disk::try_lock(&path)?
                .ok_or_else(|| busy(repository, "another process on this repository"))?;
            return Ok(Lease { held: Held::File { _lock: lock }, lost });
        }
        let mut version = None;
        if let Some((bytes, seen)) = store.get_versioned(&key, LEASE_BYTES_MAX).await? {
            // A lease that cannot be read protects nobody who could be named: it has run out
            // when nobody has renewed it since.
            let content: Option<Content> = serde_json::from_slice(&bytes).ok();
            if let Some(content) = &content
                && !content.released
                && content.holder != holder
                && content.until > clock::now()
            {
                let who = format!(
                    "{} (process {}), until {}",
                    content.host,
                    content.process,
                    clock::text(content.until)
                );
                return Err(busy(repository, &who));
            }
            version = Some(seen);
        }
        let content = Content {
            holder: holder.to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            process: std::process::id(),
            until: clock::now(),
            released: false,
        };
        let version = put(store, &key, &content, version.as_ref()).await.map_err(|e| match e.kind() {
            Kind::Conflict | Kind::AlreadyExists => busy(repository, "another agent that took it just now"),
            _ => e,
        })?;
        let version = std::sync::Arc::new(tokio::sync::Mutex::new(version));
        let renew =
            tokio::spawn(renew(store.clone(), key.clone(), content.clone(), version.clone(), lost.clone()));
        let held = Held::Object {
            store: store.clone(),
            key,
            content,
            renew: AbortOnDropHandle::new(renew),
            version,
        };
        Ok(Lease { held, lost })
    }

    /// Cancelled when the lease could not be renewed in time or was taken by someone else:
    /// whoever writes must stop before the next manifest.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the lease back, so that the next one need not wait. A failure is logged only: the
    /// lease runs out by itself.
    pub async fn release(self) {
        if let Held::Object { store, key, mut content, renew, version } = self.held {
            drop(renew);
            content.released = true;
            let version = version.lock().await;
            if let Err(e) = put(&store, &key, &content, Some(&version)).await {
                tracing::warn!("the lease {key} was not given back: {e:?}");
            }
        }
    }
}

async fn put(store: &Store, key: &str, content: &Content, expected: Option<&Version>) -> Result<Version> {
    let mut content = content.clone();
    content.until = clock::now() + jiff::SignedDuration::from_secs(LEASE_SECONDS);
    store.replace(key, super::to_json(&content)?, expected).await
}

async fn renew(
    store: Store,
    key: String,
    content: Content,
    version: std::sync::Arc<tokio::sync::Mutex<Version>>,
    lost: CancellationToken,
) {
    let mut good_until = clock::instant() + Duration::from_secs(LEASE_SECONDS as u64);
    loop {
        clock::sleep(RENEW_EVERY).await;
        let mut version = version.lock().await;
        match put(&store, &key, &content, Some(&version)).await {
            Ok(next) => {
                *version = next;
                good_until = clock::instant() + Duration::from_secs(LEASE_SECONDS as u64);
            }
            Err(e) if e.kind() == Kind::Conflict || clock::instant() >= good_until => {
                tracing::error!("the lease {key} is lost: {e:?}");
                lost.cancel();
                return;
            }
            Err(e) => tracing::warn!("the lease {key} could not be renewed, trying again: {e:?}"),
        }
    }
}

fn busy(repository: &Repository, who: &str) -> Error {
    Error::new(
        Kind::Busy,
        format!("instance {} in {} is held by {who}", repository.instance(), repository.store().url()),
    )
    .effect("nothing was stored by this run; the other one goes on")
    .safe("running again later is safe")
    .next("wait for the other agent to end; a killed one's lease runs out within two minutes")
}
