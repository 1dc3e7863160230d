//! What the store holds: the layout of keys, snapshots written and read as a whole, the leases.
//!
//! Data first, the manifest that lists it last, all create-only: a crash may leave garbage, but never a wrong
//! snapshot. Objects are never replaced, except for the two leases of an instance.

pub mod absences;
mod altered;
pub mod announced;
pub mod arrivals;
pub mod erase;
pub mod holds;
pub mod layout;
pub mod lease;
pub mod legal_holds;
pub mod locks;
pub mod pack_worker;
pub mod promise;
pub mod ranges;
pub mod reader;
pub mod record;
pub mod releases;
pub mod sealed_for;
pub mod snapshots;
pub mod suspicions;
pub mod tampered;
pub mod tombstones;
pub mod unproven;
pub mod upload_sink;
pub mod wal;
pub mod writer;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::manifest::{FORMAT, Origin, SnapshotKind};
use crate::clock::{self, Timestamp};
use crate::config::{Cold, Config, LockMode};
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName, random_hex};
use crate::store::versions::Lock;
use crate::store::{Store, StoreOptions};
use promise::Promises;
use unproven::{Held, Unproven};

/// Largest `lifeboat.json` or `instance.json` that is read.
const META_BYTES_MAX: u64 = 64 << 10;

const NOTHING_BELIEVED: &str =
    "no snapshot can be used or made until it is put back unchanged: their signatures cover it";
const PUT_BACK: &str = "put it back from any copy (it never changes): runbooks/damaged-repository.md";

/// `lifeboat.json`: written once, when the repository is created.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Meta {
    format: u32,
    id: String,
    created: Timestamp,
}

/// `instance.json`: written once, by the instance's first backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct InstanceMeta {
    instance: InstanceName,
    /// PostgreSQL's system identifier, as text (JSON numbers do not hold 64 bits everywhere); absent where
    /// the agent's role may not read it.
    system_identifier: Option<String>,
    created: Timestamp,
}

/// One instance's part of an opened repository. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    store: Store,
    id: String,
    meta_sha256: Sha256,
    instance: InstanceName,
    unproven: Unproven,
    promises: Option<Arc<Promises>>,
}

impl Repository {
    /// Creates the repository: writes `lifeboat.json`, create-only, after checking that the store honours
    /// create-only writes. Returns its ID.
    ///
    /// # Errors
    /// `AlreadyExists` where there already is one, `Repository` where the store ignores conditions on writes.
    pub async fn init(store: &Store) -> Result<String> {
        if store.head(layout::META).await?.is_some() {
            return Err(Error::new(
                Kind::AlreadyExists,
                format!("{} is already a Lifeboat repository", store.url()),
            )
            .safe("nothing was changed")
            .next("use it as it is, or choose another URL"));
        }
        if !store.list_dirs("instances").await?.is_empty() {
            return Err(meta_lost(store));
        }
        if !store.probe_conditional_put("probe").await? {
            return Err(Error::new(
                Kind::Repository,
                format!("{} ignores conditions on writes: objects could be overwritten", store.url()),
            )
            .effect("nothing was changed: Lifeboat cannot promise there that stored objects are never overwritten")
            .next("use a store with conditional writes (AWS S3, MinIO, Ceph, R2, Azure, Google) or a local directory"));
        }
        let meta = Meta { format: FORMAT, id: random_hex(16), created: clock::now() };
        store.put_new(layout::META, to_json(&meta)?).await?;
        Ok(meta.id)
    }

    /// Opens the repository for one instance.
    ///
    /// # Errors
    /// `Repository` when it is not initialised or of a newer format; `Denied` or `Unreachable`
    /// when that is not known.
    pub async fn open(store: Store, instance: InstanceName) -> Result<Repository> {
        let bytes = match store.get(layout::META, META_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == Kind::NotFound => {
                if !store.list_dirs("instances").await?.is_empty() {
                    return Err(meta_lost(&store).because(e));
                }
                let what = format!("{} is not a Lifeboat repository", store.url());
                return Err(Error::new(Kind::Repository, what)
                    .because(e)
                    .next("check repository.url, or create a repository with lifeboat init"));
            }
            Err(e) => return Err(e.context(format!("open repository {}", store.url()))),
        };
        let meta: Meta = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(Kind::Integrity, format!("lifeboat.json in {} cannot be read", store.url()))
                .because(e)
                .effect(NOTHING_BELIEVED)
                .next(PUT_BACK)
        })?;
        if meta.format != FORMAT {
            return Err(Error::new(
                Kind::Repository,
                format!("{} has format {}; this program reads format {FORMAT}", store.url(), meta.format),
            )
            .safe("nothing was changed")
            .next("use a Lifeboat at least as new as the one that made the repository"));
        }
        let (meta_sha256, unproven) = (Sha256::of(&bytes), Unproven::new());
        Ok(Repository { store, id: meta.id, meta_sha256, instance, unproven, promises: None })
    }

    /// The repository of a configuration.
    pub async fn configured(config: &Config) -> Result<Repository> {
        let options = StoreOptions::from(config);
        let store = Store::open(&config.repository.url, &options)?;
        store.check_past().await?;
        let opened = Repository::open(store, config.instance.clone()).await?;
        Ok(Repository { promises: Some(Arc::new(Promises::of(config))), ..opened })
    }

    /// The same repository for a snapshot that is begun now: its objects are locked as long as it is promised
    /// ([`promise`]), if objects are locked at all.
    pub fn for_snapshot(&self, kind: SnapshotKind, tenant: Option<&TenantName>) -> Repository {
        self.locking(|promises, now| promises.snapshot(kind, tenant, now))
    }

    /// The same repository for WAL that is stored now.
    pub fn for_wal(&self) -> Repository {
        self.locking(Promises::wal)
    }

    /// The same repository for a checkpoint or a hold that is stored now.
    pub fn for_record(&self) -> Repository {
        self.locking(Promises::record)
    }

    /// How new objects are locked; `None` where they are not.
    pub fn lock_mode(&self) -> Option<LockMode> {
        self.promises.as_ref()?.mode()
    }

    /// The storage class of the content of a dump that is begun now; `None` for the bucket's own.
    pub fn cold(&self, tenant: &TenantName) -> Option<&Cold> {
        self.promises.as_ref()?.cold(tenant, clock::now())
    }

    fn locking(&self, lock: impl FnOnce(&Promises, Timestamp) -> Option<Lock>) -> Repository {
        let mut own = self.clone();
        if let Some(lock) = self.promises.as_ref().and_then(|promises| lock(promises, clock::now())) {
            own.store = own.store.locked(lock);
        }
        own
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads a whole object of at most `bytes_max` (64 MiB) whose writer is not known yet: see [`unproven`].
    /// Hold one at a time.
    ///
    /// # Errors
    /// `Integrity` where it is larger; that of the store.
    pub async fn get_unproven(&self, key: &str, bytes_max: u64) -> Result<Held> {
        self.unproven.get(&self.store, key, bytes_max).await
    }

    /// The instance.
    pub fn instance(&self) -> &InstanceName {
        &self.instance
    }

    /// The repository's ID: 32 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The origin that manifests of this instance must have.
    ///
    /// # Errors
    /// `NotFound` before the instance's first backup.
    pub async fn origin(&self) -> Result<Origin> {
        Ok(self.read_instance().await?.0)
    }

    async fn read_instance(&self) -> Result<(Origin, InstanceMeta)> {
        let key = layout::instance_meta(&self.instance);
        let bytes = match self.store.get(&key, META_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == Kind::NotFound => {
                // A new one would have other bytes: no snapshot could be trusted again.
                if !self.store.list_dirs(&layout::snapshots(&self.instance)).await?.is_empty() {
                    let what =
                        format!("{key} is missing in {} although there are snapshots", self.store.url());
                    return Err(Error::new(Kind::Integrity, what)
                        .because(e)
                        .effect(NOTHING_BELIEVED)
                        .next(PUT_BACK));
                }
                let what = format!("{} has no backup of instance {}", self.store.url(), self.instance);
                return Err(Error::new(Kind::NotFound, what).because(e).next(
                    "check instance in the configuration, or make the first snapshot with lifeboat backup",
                ));
            }
            Err(e) => return Err(e),
        };
        let meta: InstanceMeta = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(Kind::Integrity, format!("{key} cannot be read"))
                .because(e)
                .effect(NOTHING_BELIEVED)
                .next(PUT_BACK)
        })?;
        if meta.instance != self.instance {
            return Err(Error::new(Kind::Integrity, format!("{key} belongs to instance {}", meta.instance)));
        }
        let origin = Origin {
            repository: self.id.clone(),
            repository_sha256: self.meta_sha256,
            instance: self.instance.clone(),
            instance_sha256: Sha256::of(&bytes),
        };
        Ok((origin, meta))
    }

    /// Binds the instance's name to a cluster on its first backup, and checks it on every other:
    /// a second cluster under the same name is refused.
    pub async fn bind(&self, system_identifier: Option<&str>) -> Result<Origin> {
        let known = match self.read_instance().await {
            Err(e) if e.kind() == Kind::NotFound => None,
            other => Some(other?),
        };
        let (origin, meta) = match known {
            Some(known) => known,
            None => {
                let meta = InstanceMeta {
                    instance: self.instance.clone(),
                    system_identifier: system_identifier.map(str::to_owned),
                    created: clock::now(),
                };
                match self
                    .for_record()
                    .store
                    .put_new(&layout::instance_meta(&self.instance), to_json(&meta)?)
                    .await
                {
                    // A push of WAL and a first backup may both find nothing: the one that writes first wins.
                    Err(e) if matches!(e.kind(), Kind::AlreadyExists | Kind::Conflict) => {}
                    done => done?,
                }
                self.read_instance().await?
            }
        };
        if let (Some(known), Some(here)) = (&meta.system_identifier, system_identifier)
            && known != here
        {
            return Err(Error::new(
                Kind::Repository,
                format!("instance {} is the cluster with system identifier {known}, but this server has {here}", self.instance),
            )
            .effect("nothing was stored: the backups of two clusters must not be mixed under one name")
            .next("check postgres.host and postgres.port; give a new cluster a new instance name in the configuration"));
        }
        Ok(origin)
    }
}

fn meta_lost(store: &Store) -> Error {
    let what = format!("lifeboat.json is missing in {} although there are instances", store.url());
    Error::new(Kind::Repository, what).effect(NOTHING_BELIEVED).next(PUT_BACK)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}
