//! The proof that what a restore needs is stored as it was signed: every object exists with its size, and was
//! read and compared since it was last written. The catalog of proven objects remembers what was read, so
//! that a checkpoint reads only what is new, and some objects by chance.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};

use crate::archive::digest::{Hashing, Sha256};
use crate::archive::wal::{HalfDigest, WalName};
use crate::catalog::proven::{Believed, Proven, mark};
use crate::checkpoint::folders;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::repository::{Repository, layout};

/// Objects read at once.
const READ_AT_ONCE: usize = 4;
/// Problems that are kept.
const TOLD_MAX: usize = 20;

/// What a stored object must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// An object of a snapshot: size and digest.
    Whole(u64, Sha256),
    /// A WAL object: the digest in its name.
    Half(HalfDigest),
}

/// The objects that a restore needs.
#[derive(Debug, Default)]
pub struct Needed {
    objects: BTreeMap<String, Expected>,
    wal_folder: Option<String>,
    /// Manifests by snapshot, with the digest of their bytes.
    pub manifests: BTreeMap<SnapshotId, Sha256>,
}

/// What the proof found.
#[derive(Debug, Default)]
pub struct Proof {
    /// Objects that are needed.
    pub objects: u64,
    /// Of these read now.
    pub read: u64,
    /// Bytes read now.
    pub read_bytes: u64,
    /// What is missing or not as it was signed, by name: the first of them.
    pub damaged: Vec<String>,
    /// How many there are.
    pub damaged_count: u64,
    /// The snapshots that they belong to.
    pub damaged_in: Vec<SnapshotId>,
    /// Objects of which nothing is known, by name: refused, no answer, or no time left.
    pub unknown: Vec<String>,
    /// How many there are.
    pub unknown_count: u64,
}

impl Proof {
    fn damaged(&mut self, what: String) {
        self.damaged_count += 1;
        if self.damaged.len() < TOLD_MAX {
            self.damaged.push(what);
        }
    }

    fn unknown(&mut self, what: String) {
        self.unknown_count += 1;
        if self.unknown.len() < TOLD_MAX {
            self.unknown.push(what);
        }
    }
}

impl Needed {
    /// Adds a snapshot: every object that its manifest lists.
    pub fn add_snapshot(&mut self, repository: &Repository, id: &SnapshotId, believed: &Believed) {
        let instance = repository.instance();
        for object in &believed.objects {
            let key = layout::object(instance, id, &object.name);
            self.objects.insert(key, Expected::Whole(object.bytes, object.sha256));
        }
        self.manifests.insert(id.clone(), believed.manifest_sha256);
    }

    /// Adds WAL objects.
    pub fn add_wal(&mut self, repository: &Repository, names: impl IntoIterator<Item = WalName>) {
        let instance = repository.instance();
        for name in names {
            self.objects.insert(layout::wal_object(instance, &name), Expected::Half(name.stored));
            self.wal_folder = Some(layout::wal(instance));
        }
    }

    /// Looks at each object, and reads those that were not proven since they were written, and `sample`
    /// others. What could not be read before `until` is unknown.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn prove(
        &self,
        repository: &Repository,
        proven: &mut Proven,
        sample: usize,
        until: Instant,
    ) -> Result<Proof> {
        let mut proof = Proof { objects: self.objects.len() as u64, ..Proof::default() };
        let mut folders = folders::of(repository, self.manifests.keys());
        folders.extend(self.wal_folder.clone());
        let listed = folders::list(repository, folders.iter(), |key| self.objects.contains_key(key)).await;
        for (folder, e) in &listed.failed {
            proof.unknown(format!("{folder}: {}", e.line()));
        }
        let mut marks: Vec<(String, String)> = Vec::new();
        let mut to_read: Vec<&String> = Vec::new();
        for (key, expected) in &self.objects {
            let Some(info) = listed.objects.get(key) else {
                if listed.failure(key).is_none() {
                    proof.damaged(format!("{key} is missing"));
                }
                continue;
            };
            match (info.odd, expected) {
                (Some(odd), _) => proof.damaged(format!("{key} is {odd}, not an object")),
                (None, Expected::Whole(bytes, _)) if info.bytes != *bytes => {
                    proof.damaged(format!("{key} has {} of {bytes} bytes", info.bytes));
                }
                _ => match mark(info) {
                    Some(mark) => marks.push((key.clone(), mark)),
                    None => to_read.push(key),
                },
            }
        }
        let unchanged = proven.unchanged(&marks).await?;
        let (known, new): (Vec<_>, Vec<_>) = marks.iter().partition(|(key, _)| unchanged.contains(key));
        to_read.extend(new.iter().map(|(key, _)| key));
        to_read.extend(by_chance(&known, sample));
        let marks: HashMap<&String, &String> = marks.iter().map(|(key, mark)| (key, mark)).collect();
        let mut read = stream::iter(to_read)
            .map(|key| async move {
                if clock::instant() >= until {
                    return (key, Err(Error::new(Kind::Unreachable, "there was no time left to read it")));
                }
                (key, self.read(repository, key).await)
            })
            .buffer_unordered(READ_AT_ONCE);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some((key, result)) = read.next().await {
            match result {
                Ok(bytes) => {
                    proof.read += 1;
                    proof.read_bytes += bytes;
                    good.extend(marks.get(key).map(|mark| (key.clone(), (*mark).clone())));
                }
                Err(e) if e.is_damage() => {
                    bad.push(key.clone());
                    proof.damaged(format!("{key}: {}", e.line()));
                }
                Err(e) => proof.unknown(format!("{key}: {}", e.line())),
            }
        }
        drop(read);
        let damaged_in = |id: &&SnapshotId| {
            let folder = format!("{}/", layout::snapshot(repository.instance(), id));
            proof.damaged.iter().any(|what| what.starts_with(&folder))
        };
        let damaged_in = self.manifests.keys().filter(damaged_in).cloned().collect();
        proof.damaged_in = damaged_in;
        proven.forget(&bad).await?;
        proven.add(&good).await?;
        Ok(proof)
    }

    /// Reads an object to its end and compares it; its size.
    async fn read(&self, repository: &Repository, key: &str) -> Result<u64> {
        let (_, mut pieces) = repository.store().get_stream(key).await?;
        let mut hashing = Hashing::new(std::io::sink());
        while let Some(piece) = pieces.try_next().await? {
            hashing.write_all(&piece).map_err(|e| Error::new(Kind::Internal, "cannot hash").because(e))?;
        }
        let (_, sha256, bytes) = hashing.finish();
        let fits = match self.objects.get(key) {
            Some(Expected::Whole(size, digest)) => bytes == *size && sha256 == *digest,
            Some(Expected::Half(digest)) => HalfDigest::from(sha256) == *digest,
            None => false,
        };
        match fits {
            true => Ok(bytes),
            false => Err(Error::new(Kind::Integrity, format!("its {bytes} bytes are not what was signed"))),
        }
    }
}

/// Some of them, chosen by chance.
fn by_chance<'a>(all: &[&'a (String, String)], count: usize) -> Vec<&'a String> {
    let mut left: Vec<&(String, String)> = all.to_vec();
    let mut chosen = Vec::new();
    while chosen.len() < count && !left.is_empty() {
        let random = u64::from_str_radix(&crate::names::random_hex(7), 16).unwrap_or_default();
        chosen.push(&left.swap_remove((random % left.len() as u64) as usize).0);
    }
    chosen
}
