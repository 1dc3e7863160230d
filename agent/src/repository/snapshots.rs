//! Which snapshots exist; reads and checks their objects.

use std::io::{BufRead, Read};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;

use crate::archive::digest::Hashing;
use crate::archive::digest::Sha256;
use crate::archive::manifest::{self, Manifest, Object, Origin};
use crate::archive::seal::Identities;
use crate::archive::signature::TrustedKeys;
use crate::archive::unpack::{self, MemberHeader};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::ranges::{Announced, RangeReader};
use crate::repository::reader::ObjectReader;
use crate::repository::record::{Record, Signed};
use crate::repository::{Repository, layout};

/// Manifests fetched at a time.
pub(super) const MANIFESTS_AT_ONCE: usize = 16;

/// Whose manifests are trusted.
#[derive(Clone)]
pub enum Trust {
    /// Signed by one of these keys.
    Keys(TrustedKeys),
    /// Anyone who can write to the store. A person turned the check off with a flag.
    Anyone,
}

impl Trust {
    /// The keys of a configuration.
    ///
    /// # Errors
    /// `Config` when there are none: then a forgery could not be recognized.
    pub fn keys(lines: &[String]) -> Result<Trust> {
        let keys = TrustedKeys::parse(lines)?;
        if keys.is_empty() {
            return Err(Error::new(Kind::Config, "signing.trusted_keys is empty")
                .effect("a forged snapshot could not be told from a real one, so every snapshot is refused")
                .next("put the public half of the signing key there; --accept-unsigned skips the check"));
        }
        Ok(Trust::Keys(keys))
    }

    /// The keys; `None` where anyone is trusted.
    pub fn trusted(&self) -> Option<TrustedKeys> {
        match self {
            Trust::Keys(keys) => Some(keys.clone()),
            Trust::Anyone => None,
        }
    }
}

/// What is found under the ID of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It exists and its manifest is trusted.
    Snapshot(Box<Manifest>),
    /// No manifest: a backup is running, or one was interrupted. Its data does not count.
    Unfinished(SnapshotId),
}

/// A manifest as it was read.
struct ReadManifest {
    manifest: Manifest,
    stored_at: Timestamp,
    sha256: Sha256,
    as_written: bool,
}

impl ReadManifest {
    /// Itself, if it was written for this repository.
    fn of(self, id: &SnapshotId, origin: &Origin) -> Result<ReadManifest> {
        if self.manifest.origin == *origin {
            return Ok(self);
        }
        let what = format!(
            "the manifest of snapshot {id} was written for another repository, or lifeboat.json or \
            instance.json was altered"
        );
        Err(Error::new(Kind::Integrity, what)
            .effect("it is ignored and cannot be restored")
            .next("run lifeboat verify"))
    }
}

impl Repository {
    /// The IDs of everything below `snapshots/`, oldest first, finished or not. Names that are not snapshot
    /// IDs are returned as text.
    pub async fn snapshot_ids(&self) -> Result<(Vec<SnapshotId>, Vec<String>)> {
        let names = self.store().list_dirs(&layout::snapshots(self.instance())).await?;
        let mut ids = Vec::new();
        let mut foreign = Vec::new();
        for name in names {
            match name.parse() {
                Ok(id) => ids.push(id),
                Err(_) => foreign.push(name),
            }
        }
        ids.sort();
        Ok((ids, foreign))
    }

    /// One manifest, its signature and origin checked.
    ///
    /// # Errors
    /// `NotFound` when the snapshot does not exist, `Signature`, `Integrity`, or that of the
    /// store.
    pub async fn manifest(&self, id: &SnapshotId, origin: &Origin, trust: &Trust) -> Result<Manifest> {
        self.dated_manifest(id, origin, trust).await.map(|(manifest, _)| manifest)
    }

    /// The same, and when it was stored, by the store's clock.
    pub async fn dated_manifest(
        &self,
        id: &SnapshotId,
        origin: &Origin,
        trust: &Trust,
    ) -> Result<(Manifest, Timestamp)> {
        let read = self.read_manifest(id, trust).await?.of(id, origin)?;
        Ok((read.manifest, read.stored_at))
    }

    /// The same, and the digest of its bytes: of those whose signature was checked.
    ///
    /// # Errors
    /// `Integrity` besides, where a byte of the signature is another one than was written, although it
    /// verifies.
    pub async fn digested_manifest(
        &self,
        id: &SnapshotId,
        origin: &Origin,
        trust: &Trust,
    ) -> Result<(Manifest, Sha256)> {
        let read = self.read_manifest(id, trust).await?.of(id, origin)?;
        if !read.as_written {
            let what = format!("the signature of snapshot {id} has other bytes than were written");
            return Err(Error::new(Kind::Integrity, what)
                .effect("it still verifies, but something changed it")
                .next("run lifeboat verify: other objects may be damaged, too"));
        }
        Ok((read.manifest, read.sha256))
    }

    /// One manifest with its signature checked, but not whether it belongs here: see
    /// [`Repository::dated_manifest`].
    pub async fn signed_manifest(&self, id: &SnapshotId, trust: &Trust) -> Result<(Manifest, Timestamp)> {
        let read = self.read_manifest(id, trust).await?;
        Ok((read.manifest, read.stored_at))
    }

    async fn read_manifest(&self, id: &SnapshotId, trust: &Trust) -> Result<ReadManifest> {
        let read = |bytes: &[u8], stored_at, as_written| {
            let manifest = Manifest::parse(id, self.instance(), bytes)?;
            Ok(ReadManifest { manifest, stored_at, sha256: Sha256::of(bytes), as_written })
        };
        let name = format!("manifest of snapshot {id}");
        let record = self.manifest_record(id, &name);
        let Trust::Keys(keys) = trust else {
            let bytes = self.get_unproven(&record.key, record.bytes_max).await?;
            self.unproven.take_unsigned(&name, bytes.len())?;
            return read(&bytes, bytes.stored_at, true);
        };
        let signed = match record.read(self, keys).await {
            Ok(Some(signed)) => Ok(signed),
            Ok(None) => Err(Error::new(Kind::Signature, format!("snapshot {id} is not signed"))),
            Err(e) => Err(e),
        };
        let signed = signed.map_err(|e| match e.kind() {
            Kind::Signature => {
                e.effect("its signer is not trusted: it is ignored and cannot be restored").next(
                    "run lifeboat verify; if the key is yours, add it to signing.trusted_keys; \
                    --accept-unsigned skips the check",
                )
            }
            _ => e,
        })?;
        let Signed { record: bytes, as_written, .. } = signed;
        read(&bytes, bytes.stored_at, as_written)
    }

    /// Publishes a snapshot whose run was killed between its signature and its manifest; false where it
    /// already exists, or nothing of its last step was done.
    ///
    /// # Errors
    /// `Signature` where the signature is not over these bytes; that of the store.
    pub async fn finish_snapshot(
        &self,
        id: &SnapshotId,
        manifest: Vec<u8>,
        trusted: &TrustedKeys,
    ) -> Result<bool> {
        let name = format!("manifest of snapshot {id}");
        self.manifest_record(id, &name).finish(self, manifest, trusted).await
    }

    /// Where the manifest of a snapshot is stored.
    pub(super) fn manifest_record<'a>(&self, id: &SnapshotId, name: &'a str) -> Record<'a> {
        let key = |name| layout::object(self.instance(), id, name);
        Record {
            name,
            key: key(manifest::NAME),
            signature_key: key(manifest::SIGNATURE_NAME),
            bytes_max: manifest::BYTES_MAX,
        }
    }

    /// The same, where a snapshot that does not exist is no error.
    pub(super) async fn found(&self, id: &SnapshotId, origin: &Origin, trust: &Trust) -> Result<Found> {
        match self.manifest(id, origin, trust).await {
            Ok(manifest) => Ok(Found::Snapshot(Box::new(manifest))),
            Err(e) if e.kind() == Kind::NotFound => Ok(Found::Unfinished(id.clone())),
            Err(e) => Err(e),
        }
    }

    /// Every snapshot except arrivals, oldest first, each with its own result: one bad manifest hides no
    /// other.
    pub async fn all_snapshots(
        &self,
        origin: &Origin,
        trust: &Trust,
    ) -> Result<Vec<(SnapshotId, Result<Found>)>> {
        let (ids, _) = self.snapshot_ids().await?;
        let found = stream::iter(ids)
            .map(|id| async move {
                let found = self.found(&id, origin, trust).await;
                Ok::<_, Error>((id, found))
            })
            .buffered(MANIFESTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found)
    }

    /// An object of a snapshot, for a blocking thread.
    pub fn open_object(&self, runtime: &Handle, id: &SnapshotId, name: &str) -> ObjectReader {
        ObjectReader::new(self.store(), runtime, layout::object(self.instance(), id, name))
    }

    /// Reads a pack; see [`unpack::read_pack`]. Blocking.
    pub fn read_pack(
        &self,
        runtime: &Handle,
        id: &SnapshotId,
        object: &Object,
        identities: &Identities,
        on_member: impl FnMut(MemberHeader, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let input = self.open_object(runtime, id, &object.name);
        unpack::read_pack(object, input, identities, on_member).map_err(|e| listed(e, object, id))
    }

    /// Reads some frames of a pack; see [`unpack::read_frames`]. Returns how many stored bytes were fetched
    /// for them. Blocking.
    pub fn read_frames(
        &self,
        runtime: &Handle,
        id: &SnapshotId,
        object: &Object,
        identities: &Identities,
        frames: &[std::ops::Range<u32>],
        on_member: impl FnMut(MemberHeader, &mut dyn Read) -> Result<()>,
    ) -> Result<u64> {
        let key = layout::object(self.instance(), id, &object.name);
        let announced = Announced::default();
        let input = RangeReader::new(self.store(), runtime, key, object.bytes, announced.clone());
        unpack::read_frames(object, input, identities, frames, |bytes| announced.will_read(bytes), on_member)
            .map_err(|e| listed(e, object, id))?;
        Ok(announced.fetched())
    }

    /// Reads an encrypted text; see [`unpack::read_sealed`]. Blocking.
    pub fn read_sealed<T>(
        &self,
        runtime: &Handle,
        id: &SnapshotId,
        object: &Object,
        identities: &Identities,
        read: impl FnOnce(&mut dyn BufRead) -> Result<T>,
    ) -> Result<T> {
        let input = self.open_object(runtime, id, &object.name);
        unpack::read_sealed(object, input, identities, read).map_err(|e| listed(e, object, id))
    }

    /// The same on its own thread: the encrypted text of this name in a snapshot.
    ///
    /// # Errors
    /// `Identity` where none decrypts it, `Integrity`, that of the store, or of `read`.
    pub async fn sealed<T: Send + 'static>(
        &self,
        manifest: &Manifest,
        name: &str,
        identities: &Arc<Identities>,
        read: impl FnOnce(&mut dyn BufRead) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let object = manifest.object(name)?.clone();
        let (repository, id, identities) = (self.clone(), manifest.id.clone(), identities.clone());
        tokio::task::spawn_blocking(move || {
            repository.read_sealed(&Handle::current(), &id, &object, &identities, read)
        })
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, format!("reading {name} panicked")).because(e)))
    }

    /// Reads an object to its end without a key and compares size and SHA-256 with its manifest. `on_bytes`
    /// is called for every piece. Blocking.
    pub fn check_object(
        &self,
        runtime: &Handle,
        id: &SnapshotId,
        object: &Object,
        mut on_bytes: impl FnMut(u64),
    ) -> Result<()> {
        let mut input = Hashing::new(self.open_object(runtime, id, &object.name));
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = input
                .read(&mut buffer)
                .map_err(|e| Error::carried(Kind::Io, format!("cannot read {}", object.name), e))?;
            on_bytes(n as u64);
            if n == 0 || input.passed() > object.bytes {
                break;
            }
        }
        let (_, sha256, bytes) = input.finish();
        object.check(bytes, sha256)
    }
}
/// The error of reading an object that a manifest lists: one that is not there is damage.
fn listed(error: Error, object: &Object, id: &SnapshotId) -> Error {
    let error = match error.kind() {
        Kind::NotFound => error.with_kind(Kind::Integrity),
        _ => error,
    };
    error.context(format!("read {} of snapshot {id}", object.name))
}
