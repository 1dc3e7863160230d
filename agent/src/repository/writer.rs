//! Writes a snapshot: packs and encrypted texts first, in any order; then its signature; then, create-only,
//! the manifest that makes it exist.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use crate::archive::compress::{Compressor, Content};
use crate::archive::digest::Hashing;
use crate::archive::manifest::{self, ColdFacts, FORMAT, Facts, Manifest, Object, Origin, SnapshotKind};
use crate::archive::pack::PackBuilder;
use crate::archive::seal::{Recipients, Sealed};
use crate::archive::signature::SigningKey;
use crate::clock::{self, Timestamp};
use crate::config::Cold;
use crate::error::{Error, Kind, Result};
use crate::names::{SnapshotId, TenantName};
use crate::repository::upload_sink::UploadSink;
use crate::repository::{Repository, layout};
use crate::store::Store;

/// How packs are made.
#[derive(Clone, Copy, Debug)]
pub struct PackSettings {
    /// zstd's level, 1 to 19.
    pub zstd_level: i32,
    /// A pack ends when this much tar is in it.
    pub pack_bytes: u64,
}

/// A snapshot that is being written. Dropped before [`SnapshotWriter::publish`], it never exists; what was
/// stored of it is garbage that no manifest lists.
pub struct SnapshotWriter {
    repository: Repository,
    origin: Origin,
    recipients: Recipients,
    settings: PackSettings,
    content: Content,
    id: SnapshotId,
    begun: Timestamp,
    /// The storage class of its packs, if not the bucket's own.
    cold: Option<ColdFacts>,
    next_pack: AtomicU32,
    objects: Mutex<Vec<Object>>,
    runtime: Handle,
}

impl SnapshotWriter {
    /// Begins a snapshot, of a tenant or of the whole instance; nothing is stored yet. Call it on the
    /// runtime.
    pub fn begin(
        repository: &Repository,
        origin: &Origin,
        recipients: &Recipients,
        settings: PackSettings,
        kind: SnapshotKind,
        tenant: Option<&TenantName>,
        cold: Option<&Cold>,
    ) -> Arc<SnapshotWriter> {
        let begun = clock::now();
        Arc::new(SnapshotWriter {
            repository: repository.for_snapshot(kind, tenant),
            origin: origin.clone(),
            recipients: recipients.clone(),
            settings,
            content: if kind == SnapshotKind::Dump { Content::Text } else { Content::Pages },
            id: SnapshotId::new(begun, kind.as_str()),
            begun,
            cold: cold.map(|cold| ColdFacts {
                storage_class: cold.storage_class.clone(),
                ready_after_seconds: cold.ready_after.as_secs(),
            }),
            next_pack: AtomicU32::new(0),
            objects: Mutex::new(Vec::new()),
            runtime: Handle::current(),
        })
    }

    /// The snapshot's ID.
    pub fn id(&self) -> &SnapshotId {
        &self.id
    }

    /// When it was begun, UTC.
    pub fn begun(&self) -> Timestamp {
        self.begun
    }

    /// The storage class of its packs; `None` for the bucket's own.
    pub fn cold(&self) -> Option<&ColdFacts> {
        self.cold.as_ref()
    }

    /// The repository that it is written to.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// How packs are made.
    pub fn settings(&self) -> PackSettings {
        self.settings
    }

    /// What compresses the frames of its packs.
    pub fn compressor(&self) -> Result<Compressor> {
        Compressor::new(self.settings.zstd_level, self.content)
    }

    /// The number of one more pack.
    pub fn next_pack(&self) -> u32 {
        self.next_pack.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins the pack of this number.
    pub fn begin_pack(&self, number: u32) -> Result<PackBuilder<UploadSink>> {
        let class = self.cold.as_ref().map(|cold| cold.storage_class.as_str());
        let store = self.repository.store().in_class(class);
        PackBuilder::new(&self.recipients, self.sink(&store, &crate::archive::pack::name(number)))
    }

    /// Records an object that is durable.
    pub fn add_object(&self, object: Object) {
        self.objects.lock().unwrap_or_else(|e| e.into_inner()).push(object);
    }

    fn sink(&self, store: &Store, name: &str) -> UploadSink {
        let key = layout::object(self.repository.instance(), &self.id, name);
        UploadSink::new(store, &self.runtime, key)
    }

    /// A stream of text that is compressed, encrypted and stored under `name`. Blocking, like
    /// [`SealedWriter::finish`].
    pub fn sealed_writer(&self, name: &str) -> Result<SealedWriter<'_>> {
        let sealed = self.recipients.seal(Hashing::new(self.sink(self.repository.store(), name)))?;
        let mut zstd = zstd::Encoder::new(sealed, self.settings.zstd_level)
            .map_err(|e| Error::carried(Kind::Internal, "cannot begin a zstd stream", e))?;
        zstd.include_checksum(true)
            .map_err(|e| Error::new(Kind::Internal, "cannot set up a zstd stream").because(e))?;
        Ok(SealedWriter { snapshot: self, name: name.to_owned(), zstd })
    }

    /// [`SnapshotWriter::sealed_writer`] for data in memory. Blocking.
    pub fn put_sealed(&self, name: &str, data: &[u8]) -> Result<()> {
        let mut writer = self.sealed_writer(name)?;
        writer.write_all(data).map_err(|e| Error::carried(Kind::Io, format!("cannot store {name}"), e))?;
        writer.finish()
    }

    /// A manifest with everything filled in that the writer knows; the caller adds the rest.
    pub fn manifest(&self, point: Timestamp, facts: Facts) -> Manifest {
        let mut objects = self.objects.lock().unwrap_or_else(|e| e.into_inner()).clone();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Manifest {
            format: FORMAT,
            origin: self.origin.clone(),
            id: self.id.clone(),
            tenant: None,
            release: None,
            begun: self.begun,
            point,
            ended: clock::now(),
            lsn: None,
            parent: None,
            recipients: self.recipients.texts().map(str::to_owned).collect(),
            plain_bytes: 0,
            objects,
            facts,
            written_by: format!("lifeboat {}", env!("CARGO_PKG_VERSION")),
        }
    }

    /// The manifest as it will be stored: first parsed by the same rules as on restore.
    pub fn manifest_bytes(&self, manifest: &Manifest) -> Result<Vec<u8>> {
        if manifest.kind().as_str() != self.id.kind() {
            return Err(Error::new(Kind::Internal, "the manifest and its snapshot are of different kinds"));
        }
        let bytes = manifest.to_bytes()?;
        let parsed = Manifest::parse(&self.id, self.repository.instance(), &bytes)?;
        if parsed != *manifest {
            return Err(Error::new(Kind::Internal, "a manifest does not read back as it was written"));
        }
        Ok(bytes)
    }

    /// Signs the manifest and publishes the snapshot.
    pub async fn publish(&self, manifest_bytes: Vec<u8>, key: &SigningKey) -> Result<()> {
        let record = self.repository.manifest_record(&self.id, manifest::NAME);
        record.write(self.repository.store(), manifest_bytes, key).await
    }
}

/// See [`SnapshotWriter::sealed_writer`].
pub struct SealedWriter<'a> {
    snapshot: &'a SnapshotWriter,
    name: String,
    zstd: zstd::Encoder<'static, Sealed<Hashing<UploadSink>>>,
}

impl SealedWriter<'_> {
    /// Ends the stream and waits until the object is durable.
    pub fn finish(self) -> Result<()> {
        let failed = |e| Error::carried(Kind::Io, "cannot finish an encrypted object", e);
        let sealed = self.zstd.finish().map_err(failed)?;
        let (sink, sha256, bytes) = sealed.finish().map_err(failed)?.finish();
        sink.end()?.wait(bytes)?;
        self.snapshot.add_object(Object { name: self.name, bytes, sha256, frames: Vec::new() });
        Ok(())
    }
}

impl Write for SealedWriter<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.zstd.write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.zstd.flush()
    }
}
