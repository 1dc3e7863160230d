//! Manifests: the signed envelope of a snapshot. It lists every object with size and SHA-256, so that anyone
//! can check what is stored without a key. A snapshot exists when its manifest exists; its bytes are signed
//! as stored.

mod configuration;
mod facts;
mod stored;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use configuration::{Attached, ConfigEntry, ConfigFacts, ENTRIES_MAX, NotCaptured};
pub use facts::{ArrivalFacts, ColdFacts, DumpFacts, Facts, FilestoreFacts, FilestoreLink, MissingFile};

use crate::archive::digest::Sha256;
use crate::archive::manifest::stored::StoredManifest;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, Lsn, ReleaseId, SnapshotId, TenantName};

/// The name of a snapshot's manifest.
pub const NAME: &str = "manifest.json";
/// The name of its signature, stored just before it.
pub const SIGNATURE_NAME: &str = "manifest.json.sig";
/// The name of a dump's encrypted baseline.
pub const BASELINE: &str = "baseline.zst.age";
/// The file of a dump's archive: what pg_restore reads.
pub const DUMP_PATH: &str = "dump.pgc";
/// The file of a globals' archive: what psql reads.
pub const GLOBALS_PATH: &str = "globals.sql";
/// Largest manifest that is read.
pub const BYTES_MAX: u64 = 64 << 20;
/// The version of the archive format that this program writes and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What a snapshot contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// `pg_dump` of one tenant.
    Dump,
    /// The filestore of one tenant.
    Filestore,
    /// Roles and tablespaces of the instance.
    Globals,
    /// The files of the whole cluster.
    Base,
    /// Files of any tenant's filestore, stored as they came.
    Arrivals,
    /// Configuration of hosts and of Kubernetes, and attached artifacts.
    Config,
}

impl SnapshotKind {
    /// As written in manifests and snapshot IDs.
    pub fn as_str(self) -> &'static str {
        match self {
            SnapshotKind::Dump => "dump",
            SnapshotKind::Filestore => "filestore",
            SnapshotKind::Globals => "globals",
            SnapshotKind::Base => "base",
            SnapshotKind::Arrivals => "arrivals",
            SnapshotKind::Config => "config",
        }
    }
}

impl std::fmt::Display for SnapshotKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One stored object of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Key below the snapshot's own, such as `packs/000000.tar.zst.age`.
    pub name: String,
    /// Stored size.
    pub bytes: u64,
    /// Digest of the stored bytes.
    pub sha256: Sha256,
    /// For packs: where each zstd frame begins after decryption.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<u64>,
}

impl Object {
    /// Compares what was read with the manifest.
    pub fn check(&self, bytes: u64, sha256: Sha256) -> Result<()> {
        let differ = if bytes < self.bytes {
            format!("{} is truncated: {bytes} of {} bytes", self.name, self.bytes)
        } else if bytes > self.bytes {
            format!("{} is longer than the {} bytes that were stored", self.name, self.bytes)
        } else if sha256 != self.sha256 {
            format!("{} has SHA-256 {sha256}, but its manifest says {}", self.name, self.sha256)
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Integrity, differ)
            .effect("this snapshot cannot be restored completely from this repository")
            .next("run lifeboat verify; then choose another snapshot with lifeboat list, or use a copy of the repository"))
    }
}

/// What is wrong with a manifest that has other facts than its kind wants, several or none.
const WITHOUT_FACTS: &str = "does not have exactly the facts of its kind";

/// Which repository and instance this belongs to: a manifest copied to another place is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The repository's id.
    pub repository: String,
    /// Digest of `lifeboat.json`.
    pub repository_sha256: Sha256,
    /// The instance.
    pub instance: InstanceName,
    /// Digest of `instance.json`.
    pub instance_sha256: Sha256,
}

/// The envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Version of the archive format.
    pub format: u32,
    /// The repository and instance that it belongs to.
    pub origin: Origin,
    /// The snapshot's own name, as in its key.
    pub id: SnapshotId,
    /// The tenant, for dumps and filestores.
    pub tenant: Option<TenantName>,
    /// The release it is tied to.
    pub release: Option<ReleaseId>,
    /// When work began, UTC.
    pub begun: Timestamp,
    /// The moment whose state it contains, UTC: for a dump that of its database snapshot, for a filestore the
    /// beginning of the walk (files that arrived during it may be included).
    pub point: Timestamp,
    /// When the last object was stored, UTC.
    pub ended: Timestamp,
    /// WAL position at the point, for dumps and base backups.
    pub lsn: Option<Lsn>,
    /// The snapshot that an index builds on.
    pub parent: Option<SnapshotId>,
    /// Public keys that it is encrypted to.
    pub recipients: Vec<String>,
    /// Bytes of the content before compression.
    pub plain_bytes: u64,
    /// All its stored objects except manifest and signature, sorted by name.
    pub objects: Vec<Object>,
    /// Its kind, and the facts of that kind.
    pub facts: Facts,
    /// Version of the program that wrote it.
    pub written_by: String,
}

impl Manifest {
    /// The bytes that are signed and stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write a manifest").because(e))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a manifest whose signature was checked (or waived), and checks that it is the one of snapshot
    /// `id` of this instance: another one in its place is refused.
    pub fn parse(id: &SnapshotId, instance: &InstanceName, bytes: &[u8]) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let bad = |why: String| Error::new(Kind::Integrity, format!("manifest of snapshot {id} {why}"));
        let format: Format =
            serde_json::from_slice(bytes).map_err(|e| bad("cannot be read".into()).because(e))?;
        if format.format != FORMAT {
            return Err(Error::new(
                Kind::Repository,
                format!("snapshot {id} has format {}; this program reads format {FORMAT}", format.format),
            )
            .next("use a Lifeboat at least as new as the one that wrote it"));
        }
        let stored: StoredManifest<'_> =
            serde_json::from_slice(bytes).map_err(|e| bad("cannot be read".into()).because(e))?;
        let manifest = stored.into_manifest().ok_or_else(|| bad(WITHOUT_FACTS.into()))?;
        if manifest.id != *id {
            return Err(bad(format!("belongs to snapshot {}", manifest.id)));
        }
        if manifest.origin.instance != *instance {
            return Err(bad(format!("belongs to instance {}", manifest.origin.instance)));
        }
        let names_fit = manifest.objects.iter().all(|o| {
            !o.name.starts_with('/')
                && o.name.split('/').all(|part| {
                    !part.is_empty()
                        && part != "."
                        && part != ".."
                        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
                })
        });
        if !names_fit || !manifest.objects.is_sorted_by(|a, b| a.name < b.name) {
            return Err(bad("has object names that are not allowed, or not in order".into()));
        }
        let facts_fit = match &manifest.facts {
            Facts::Dump(_) | Facts::Filestore(_) => manifest.tenant.is_some(),
            Facts::Globals | Facts::Arrivals(_) => true,
            Facts::Base(facts) => facts.chain.last() == Some(&manifest.id),
            Facts::Config(facts) => facts.fit(),
        };
        if !facts_fit {
            return Err(bad(WITHOUT_FACTS.into()));
        }
        Ok(manifest)
    }

    /// Reads a manifest that was parsed before and written as one line by this host: nothing is checked
    /// again, and lists that belong to it may be gone.
    ///
    /// # Errors
    /// `Integrity` where it is something else.
    pub fn reread(line: &[u8]) -> Result<Manifest> {
        let bad = || Error::new(Kind::Integrity, "a manifest that this host kept is damaged");
        let stored: StoredManifest<'_> = serde_json::from_slice(line).map_err(|e| bad().because(e))?;
        stored.into_manifest().ok_or_else(bad)
    }

    /// Lets IDs in it share the memory of equal ones in `known`, which gets the others. The manifests of a
    /// year name each other a million times.
    pub fn share_ids(&mut self, known: &mut HashSet<SnapshotId>) {
        let mut share = |id: &mut SnapshotId| match known.get(id) {
            Some(same) => *id = same.clone(),
            None => drop(known.insert(id.clone())),
        };
        share(&mut self.id);
        self.parent.iter_mut().for_each(&mut share);
        match &mut self.facts {
            Facts::Dump(dump) => dump.filestore.iter_mut().for_each(|link| share(&mut link.snapshot)),
            Facts::Filestore(filestore) => {
                filestore.index_chain.iter_mut().chain(&mut filestore.sources).for_each(share);
            }
            Facts::Base(base) => base.chain.iter_mut().for_each(share),
            Facts::Globals | Facts::Arrivals(_) | Facts::Config(_) => {}
        }
    }

    /// The object of this name.
    pub fn object(&self, name: &str) -> Result<&Object> {
        self.objects.iter().find(|o| o.name == name).ok_or_else(|| {
            Error::new(Kind::Integrity, format!("the manifest of snapshot {} has no object {name}", self.id))
        })
    }

    /// Stored size of all objects.
    pub fn stored_bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.bytes).sum()
    }

    /// The packs, in order.
    pub fn packs(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|o| o.name.starts_with("packs/"))
    }
}
