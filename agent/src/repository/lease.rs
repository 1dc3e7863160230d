//! The lease: one writer per instance, and one that streams its WAL. In a local repository it is a file lock;
//! elsewhere it is an object, replaced with If-Match and renewed while its holder lives. Leases are the only
//! objects that are ever replaced.
//!
//! Only the store's clock decides whether a lease still counts: it counts for its length from the time of the
//! object (`Last-Modified`), compared with the store's current time (`Date`). What its holder wrote into it
//! is for people. So a holder whose clock is years ahead locks nobody out, one whose clock is slow loses
//! nothing, and the clock of a reader does not matter.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::repository::{Repository, layout};
use crate::store::{Replaceable, Store, Version};

/// How long a lease counts without being renewed.
const LEASE_SECONDS: i64 = 120;
/// How often it is renewed: three tries are possible before it expires.
const RENEW_EVERY: Duration = Duration::from_secs(30);
/// It is given up this long before it expires: a request in progress must not take effect afterwards.
const MARGIN: Duration = Duration::from_secs(10);
const LEASE_BYTES_MAX: u64 = 16 << 10;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Content {
    /// Random ID of the holder's state directory: its file lock shows that an earlier run is dead.
    holder: String,
    /// For people.
    host: String,
    process: u32,
    /// By the holder's clock: for programs older than the rule above.
    until: Timestamp,
    released: bool,
}

/// The right to write, held until [`Lease::release`], or until two minutes after the process has ended (a
/// lock in a local repository: until the process has ended).
pub struct Lease {
    lock: Lock,
    watch: Watch,
}

enum Lock {
    File { _lock: disk::FileLock },
    Object { object: Arc<Object>, renew: AbortOnDropHandle<()> },
}

/// The lease as an object of the store.
struct Object {
    store: Store,
    key: String,
    content: Content,
    version: tokio::sync::Mutex<Version>,
}

/// What a writer checks before it publishes anything: is the lease still ours?
#[derive(Clone, Default)]
pub struct Watch(Arc<Watched>);

#[derive(Default)]
struct Watched {
    lost: CancellationToken,
    /// How it was lost: kind and sentence.
    why: OnceLock<(Kind, String)>,
    /// By the wall clock, which others use and which continues while a machine sleeps; `None` for a file
    /// lock.
    until: Mutex<Option<Timestamp>>,
}

impl Lease {
    /// Takes the lease. `holder` names the state directory whose lock the caller holds, so that a lease of a
    /// killed run of its own is taken over at once.
    ///
    /// # Errors
    /// `Busy` naming who holds it and until when.
    pub async fn take(repository: &Repository, holder: &str) -> Result<Lease> {
        Lease::take_at(repository, holder, layout::lease(repository.instance())).await
    }

    /// The right to stream WAL: separate from the right to back up, because it is held for months.
    pub async fn take_for_wal(repository: &Repository, holder: &str) -> Result<Lease> {
        Lease::take_at(repository, holder, layout::wal_lease(repository.instance())).await
    }

    async fn take_at(repository: &Repository, holder: &str, key: String) -> Result<Lease> {
        let store = repository.store();
        let watch = Watch::default();
        if let Some(root) = store.local_root() {
            let path = root.join(&key);
            if let Some(dir) = path.parent() {
                disk::create_private_dir(dir)?;
            }
            if disk::metadata(&path)?.is_some_and(|meta| !meta.is_file()) {
                let what =
                    format!("{} is not a regular file, but the lease must be stored there", path.display());
                return Err(Error::new(Kind::Integrity, what).next("find out who made it and remove it"));
            }
            let lock = disk::try_lock(&path)?.ok_or_else(|| busy(repository, &local_holder(&path)))?;
            tell_local_holder(&path)?;
            return Ok(Lease { lock: Lock::File { _lock: lock }, watch });
        }
        let mut version = None;
        if let Some(found) = store.get_versioned(&key, LEASE_BYTES_MAX).await? {
            // A lease that cannot be read names no holder to protect: it has expired when nobody has renewed
            // it since.
            let content: Option<Content> = serde_json::from_slice(&found.data).ok();
            if let Some(content) = &content
                && !content.released
                && content.holder != holder
                && let Some(until) = counts_until(&found)
            {
                return Err(busy(repository, &content.who(until)));
            }
            version = Some(found.version);
        }
        let content = Content {
            holder: holder.to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            process: std::process::id(),
            until: clock::now(),
            released: false,
        };
        let begun = clock::instant();
        let (version, until) =
            put(store, &key, &content, version.as_ref()).await.map_err(|e| match e.kind() {
                Kind::Conflict | Kind::AlreadyExists => {
                    busy(repository, "another agent, which has just taken it")
                }
                _ => e,
            })?;
        watch.renewed(until);
        let version = tokio::sync::Mutex::new(version);
        let object = Arc::new(Object { store: store.clone(), key, content, version });
        let renew = tokio::spawn(renew(object.clone(), watch.clone(), begun));
        Ok(Lease { lock: Lock::Object { object, renew: AbortOnDropHandle::new(renew) }, watch })
    }

    /// For code that writes while it is held.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Releases the lease, so that the next one need not wait; not a lost one. A failure is only logged: the
    /// lease expires by itself.
    pub async fn release(self) {
        let Lock::Object { object, renew } = self.lock else { return };
        drop(renew);
        if self.watch.error().is_some() {
            return;
        }
        let content = Content { released: true, ..object.content.clone() };
        let version = object.version.lock().await;
        if let Err(e) = put(&object.store, &object.key, &content, Some(&version)).await {
            tracing::warn!("the lease {} could not be released and expires by itself: {e:?}", object.key);
        }
    }
}

/// Writes the holder into the lock file, for people: only the lock itself counts.
fn tell_local_holder(path: &Path) -> Result<()> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let who = format!("{host} (process {})\n", std::process::id());
    let mut file = disk::open_or_create(path)?;
    let written = file.set_len(0).and_then(|()| file.write_all(who.as_bytes()));
    written.map_err(|e| Error::file("write", path, e))
}

fn local_holder(path: &Path) -> String {
    let who = disk::read_text(path, LEASE_BYTES_MAX).unwrap_or_default();
    if who.trim().is_empty() { "another process".to_owned() } else { who.trim().to_owned() }
}

/// Until when a lease counts, by the store's clock; `None` where it has expired.
fn counts_until(found: &Replaceable) -> Option<Timestamp> {
    let until = found.modified + jiff::SignedDuration::from_secs(LEASE_SECONDS);
    (found.now < until).then_some(until)
}

impl Content {
    fn who(&self, until: Timestamp) -> String {
        format!("{} (process {}), until {}", self.host, self.process, clock::text(until))
    }
}

impl Watch {
    /// Cancelled when the lease was taken by someone else, or is about to expire.
    pub fn lost(&self) -> &CancellationToken {
        &self.0.lost
    }

    /// Does work that publishes something, only while the lease is held.
    ///
    /// # Errors
    /// [`Watch::error`], and those of the work. Where it was lost in the middle, the object that was being
    /// stored may exist, complete.
    pub async fn while_held<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let until = *self.0.until.lock().unwrap_or_else(|e| e.into_inner());
        if until.is_some_and(|until| clock::now() >= until) {
            self.lose(
                Kind::Unreachable,
                "it expired before it was renewed: was this machine suspended?".to_owned(),
            );
        }
        tokio::select! {
            biased;
            () = self.0.lost.cancelled() => Err(self.error().unwrap_or_else(|| lost_error(Kind::Busy, ""))),
            done = work => done,
        }
    }

    /// The error of a lost lease: `Busy` naming who has it, `Unreachable` where it could not be renewed.
    pub fn error(&self) -> Option<Error> {
        self.0.why.get().map(|(kind, why)| lost_error(*kind, why))
    }

    fn renewed(&self, until: Timestamp) {
        *self.0.until.lock().unwrap_or_else(|e| e.into_inner()) = Some(until);
    }

    fn lose(&self, kind: Kind, why: String) {
        tracing::error!("the lease was lost: {why}");
        let _ = self.0.why.set((kind, why)); // the first reason counts
        self.0.lost.cancel();
    }
}

fn lost_error(kind: Kind, why: &str) -> Error {
    Error::new(kind, "the lease on the instance was lost during the run")
        .because(why.to_owned())
        .effect("the run stopped: snapshots that had a manifest are complete, the others do not exist")
        .safe("running again is safe")
        .next(match kind {
            Kind::Busy => "find out which other agent backs up this instance and stop one of the two",
            _ => "find out why the repository could not be reached (lifeboat doctor), then run again",
        })
}

/// Writes the lease; returns its version, and until when it counts.
async fn put(
    store: &Store,
    key: &str,
    content: &Content,
    expected: Option<&Version>,
) -> Result<(Version, Timestamp)> {
    let until = clock::now() + jiff::SignedDuration::from_secs(LEASE_SECONDS);
    let content = Content { until, ..content.clone() };
    Ok((store.replace(key, super::to_json(&content)?, expected).await?, until))
}

/// Renews the lease that was requested at `begun`, until it is lost.
async fn renew(object: Arc<Object>, watch: Watch, begun: Instant) {
    let good_for = Duration::from_secs(LEASE_SECONDS as u64) - MARGIN;
    let mut give_up = begun + good_for;
    let mut failed = "it could not be renewed in time: no answer".to_owned();
    loop {
        clock::sleep(RENEW_EVERY.min(give_up.saturating_duration_since(clock::instant()))).await;
        let mut version = object.version.lock().await;
        let begun = clock::instant();
        let left = give_up.saturating_duration_since(begun);
        if left.is_zero() {
            return watch.lose(Kind::Unreachable, failed);
        }
        // A request that is repeated for minutes must not outlive the lease.
        let put = put(&object.store, &object.key, &object.content, Some(&version));
        match tokio::time::timeout(left, put).await {
            Ok(Ok((next, until))) => {
                *version = next;
                watch.renewed(until);
                give_up = begun + good_for;
            }
            Ok(Err(e)) if e.kind() == Kind::Conflict => {
                return watch
                    .lose(Kind::Busy, format!("it was taken by {}", holder_now(&object, left).await));
            }
            Ok(Err(e)) => {
                tracing::warn!("the lease {} could not be renewed, trying again: {e:?}", object.key);
                failed = format!("it could not be renewed in time: {}", e.what());
            }
            Err(_) => {} // reported at the top of the loop
        }
    }
}

/// Who has the lease now that it is no longer ours, for people.
async fn holder_now(object: &Object, limit: Duration) -> String {
    let read = object.store.get_versioned(&object.key, LEASE_BYTES_MAX);
    let found = match tokio::time::timeout(limit, read).await {
        Ok(Ok(Some(found))) => found,
        _ => return "another agent".to_owned(),
    };
    let content = serde_json::from_slice::<Content>(&found.data);
    content.map_or_else(|_| "another agent".to_owned(), |c| c.who(counts_until(&found).unwrap_or(found.now)))
}

fn busy(repository: &Repository, who: &str) -> Error {
    Error::new(
        Kind::Busy,
        format!("instance {} in {} is locked by {who}", repository.instance(), repository.store().url()),
    )
    .effect("nothing was stored by this run; the other one continues")
    .safe("running again later is safe")
    .next("wait for the other agent to end; the lease of a killed one expires within two minutes")
}
