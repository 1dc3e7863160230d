//! What this host has read of a bucket and believed: manifests, and signed names of WAL objects. `list`,
//! `status`, `window`, `policy` and plans of `expire` do not read and check them again.
//!
//! A manifest counts only while a listing shows the same entity tag, size and time of it and of its
//! signature, so whatever is done in the bucket is seen. All of it counts only for the same program,
//! repository, instance and trusted keys: the files begin with a digest of these. What cannot be read, or is
//! damaged, is read from the bucket again. Nothing that deletes or restores looks here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::manifest::Manifest;
use crate::archive::seen_names::SeenName;
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;

/// Of these files, and of what counts as a manifest that is believed: raised when one of them changes.
pub const FORMAT: u32 = 1;
/// The largest files: a filestore names all that it needs, so some 75,000 snapshots; and 10 million names. Of
/// more, the rest is read from the bucket each time.
const MANIFESTS_BYTES_MAX: u64 = 1 << 30;
const NAMES_BYTES_MAX: u64 = 160 << 20;

/// The line with the key.
const KEY_BYTES: u64 = 65;

/// An object in a listing: another one of the same name differs in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The store's entity tag.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
    /// When it was stored.
    pub modified: Timestamp,
}

/// What is kept beside a manifest, which has no lists any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The manifest's object, and that of its signature.
    pub marks: [Mark; 2],
    /// When the manifest was stored, as the store said when it was read.
    pub stored_at: Timestamp,
    /// Size of its objects.
    pub stored_bytes: u64,
    /// Where a dump's missing files are held.
    pub held_in: BTreeSet<SnapshotId>,
    /// Whether a dump misses more files than its manifest names.
    pub misses_unnamed: bool,
}

/// The manifests in this file, if it begins with `key`; empty where there is none, or it is damaged.
/// Blocking.
pub fn read(file: &Path, key: Sha256) -> HashMap<SnapshotId, (About, Manifest)> {
    read_whole(file, key).unwrap_or_else(|e| {
        if e.kind() != Kind::NotFound {
            tracing::debug!("{} is not used: {e:?}", file.display());
        }
        HashMap::new()
    })
}

fn read_whole(file: &Path, key: Sha256) -> Result<HashMap<SnapshotId, (About, Manifest)>> {
    let failed = |e| Error::file("read", file, e);
    let damaged = |e| Error::new(Kind::Io, format!("{} is damaged", file.display())).because(e);
    let decoder = zstd::Decoder::new(disk::open(file)?).map_err(failed)?;
    let mut input = BufReader::with_capacity(256 << 10, decoder.take(MANIFESTS_BYTES_MAX));
    let (mut found, mut ids) = (HashMap::new(), HashSet::new());
    let (mut line, mut manifest) = (Vec::new(), Vec::new());
    input.read_until(b'\n', &mut line).map_err(failed)?;
    if line.trim_ascii_end() != key.to_string().as_bytes() {
        return Ok(found);
    }
    loop {
        line.clear();
        manifest.clear();
        if input.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(found);
        }
        input.read_until(b'\n', &mut manifest).map_err(failed)?;
        let about: About = serde_json::from_slice(&line).map_err(damaged)?;
        let mut manifest = Manifest::reread(&manifest)?;
        manifest.share_ids(&mut ids);
        found.insert(manifest.id.clone(), (about, manifest));
    }
}

/// Puts these in place of what is in the file. Blocking.
///
/// # Errors
/// Those of the file system.
pub fn write<'a>(file: &Path, key: Sha256, kept: impl Iterator<Item = (About, &'a Manifest)>) -> Result<()> {
    let failed = |e| Error::file("write", file, e);
    let mut out = zstd::Encoder::new(Vec::new(), 1).map_err(failed)?;
    out.include_checksum(true).map_err(failed)?;
    writeln!(out, "{key}").map_err(failed)?;
    let mut written = 0;
    for (about, manifest) in kept {
        let json = |json: serde_json::Result<Vec<u8>>| {
            json.map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))
        };
        let parts = [json(serde_json::to_vec(&about))?, json(serde_json::to_vec(manifest))?];
        written += parts.iter().map(|part| part.len() as u64 + 1).sum::<u64>();
        if written > MANIFESTS_BYTES_MAX - KEY_BYTES {
            break;
        }
        for part in parts {
            out.write_all(&part).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
        }
    }
    replace(file, &out.finish().map_err(failed)?)
}

/// The names in this file, if it begins with `key`; empty where there is none. Blocking.
pub fn read_names(file: &Path, key: Sha256) -> Vec<SeenName> {
    let bytes = disk::read(file, NAMES_BYTES_MAX).unwrap_or_default();
    let names = bytes.strip_prefix(&key.0).unwrap_or_default();
    names.as_chunks::<16>().0.to_vec()
}

/// Puts these in place of what is in the file. Blocking.
///
/// # Errors
/// Those of the file system.
pub fn write_names(file: &Path, key: Sha256, names: &HashSet<SeenName>) -> Result<()> {
    let mut bytes = key.0.to_vec();
    let most = (NAMES_BYTES_MAX as usize - bytes.len()) / size_of::<SeenName>();
    names.iter().take(most).for_each(|name| bytes.extend_from_slice(name));
    replace(file, &bytes)
}

/// Replaces a file, if no other process is at it: then that one does. Blocking.
///
/// # Errors
/// Those of the file system.
pub fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = file.parent() {
        disk::create_private_dir(dir)?;
    }
    match disk::try_lock(&file.with_extension("lock"))? {
        Some(_lock) => disk::replace_durable(file, bytes),
        None => Ok(()),
    }
}
