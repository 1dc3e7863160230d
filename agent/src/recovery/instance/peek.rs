//! Reads production's configuration from the base backup before anything is restored, for the plan.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::archive::blake3::Blake3;
use crate::archive::manifest::Manifest;
use crate::archive::seal::Identities;
use crate::archive::unpack::MemberHeader;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::recovery::instance::aside::{ASIDE_DIR, AUTO_FILE, CONF_FILE, note_path};
use crate::recovery::instance::conf::{Conf, Files};
use crate::recovery::instance::packs::pack_reads;
use crate::recovery::instance::wanted::{File, Wanted};
use crate::repository::Repository;

/// Larger files are not read; then the plan says less.
const FILE_BYTES_MAX: u64 = 512 << 10;
/// Files that may be included.
const FILES_MAX: usize = 50;

/// Texts of small files of a base backup, by escaped path.
struct Stored {
    texts: BTreeMap<String, String>,
    /// The path of the main file: at the top, or aside in a backup of a copy.
    prefix: String,
}

/// Production's configuration; empty if it was outside the data directory.
///
/// # Errors
/// Those of the store, and `Integrity`.
pub async fn production(
    repository: &Repository,
    wanted: &Wanted,
    manifests: &HashMap<SnapshotId, Manifest>,
    identities: &Arc<Identities>,
) -> Result<Conf> {
    // Included files are ordinary files: all with a matching name are read at once.
    let is_conf = |file: &&File| {
        let path = wanted.path(file);
        path.ends_with(".conf") && file.bytes <= FILE_BYTES_MAX && !path.starts_with("base/")
    };
    let files: Vec<File> = wanted.files().iter().filter(is_conf).take(FILES_MAX).copied().collect();
    let texts = tokio::task::block_in_place(|| texts(repository, wanted, &files, manifests, identities))?;
    let of_copy = wanted.find(&note_path()).is_some();
    let prefix = if of_copy { format!("{ASIDE_DIR}/") } else { String::new() };
    let stored = Stored { texts, prefix };
    Ok(Conf::read(&stored, &[CONF_FILE, AUTO_FILE]))
}

fn texts(
    repository: &Repository,
    wanted: &Wanted,
    files: &[File],
    manifests: &HashMap<SnapshotId, Manifest>,
    identities: &Identities,
) -> Result<BTreeMap<String, String>> {
    let mut contents: BTreeMap<&str, Vec<u8>> =
        files.iter().map(|file| (wanted.path(file), vec![0; file.bytes as usize])).collect();
    for read in pack_reads(wanted, files.iter(), manifests)? {
        let (id, object) = wanted.pack_object(read.snapshot, read.pack, manifests)?;
        let on_member = |member: MemberHeader, content: &mut dyn Read| {
            let file = files.iter().find(|file| wanted.path(file) == member.path);
            let (Some(file), Some(out)) = (file, contents.get_mut(member.path.as_str())) else {
                return Ok(());
            };
            let mut data = Vec::new();
            content.take(FILE_BYTES_MAX + 1).read_to_end(&mut data).map_err(|e| {
                Error::new(Kind::Integrity, format!("cannot read {}", member.path)).because(e)
            })?;
            for piece in wanted.pieces(file) {
                let begin = piece.offset.saturating_sub(member.offset) as usize;
                let is_here = (piece.snapshot, piece.pack) == (read.snapshot, read.pack);
                let Some(from) = data.get(begin..begin + piece.bytes as usize) else { continue };
                if let Some(to) = out
                    .get_mut(piece.offset as usize..piece.offset as usize + piece.bytes as usize)
                    .filter(|_| is_here && piece.offset >= member.offset)
                {
                    to.copy_from_slice(from);
                }
            }
            Ok(())
        };
        let runtime = Handle::current();
        match read.frames.is_empty() {
            true => repository.read_pack(&runtime, id, object, identities, on_member)?,
            false => {
                repository.read_frames(&runtime, id, object, identities, &read.frames, on_member)?;
            }
        }
    }
    let whole = files.iter().map(|file| {
        let path = wanted.path(file);
        let content = contents.remove(path).unwrap_or_default();
        match Blake3::of(&content) == file.digest {
            true => Ok((path.to_owned(), String::from_utf8_lossy(&content).into_owned())),
            false => Err(Error::new(Kind::Integrity, format!("{path} does not match its index"))
                .next("run lifeboat verify --deep --identity FILE, then restore an older base backup with --snapshot")),
        }
    });
    whole.collect()
}

impl Files for Stored {
    fn text(&self, path: &str) -> Option<String> {
        let name = path.trim_start_matches("./");
        let aside = format!("{}{name}", self.prefix);
        self.texts.get(&aside).or_else(|| self.texts.get(name)).cloned()
    }

    fn conf_files(&self, dir: &str) -> Option<Vec<String>> {
        let dir = format!("{}/", dir.trim_start_matches("./").trim_end_matches('/'));
        let inside = |path: &&String| {
            path.strip_prefix(&dir).is_some_and(|name| !name.contains('/') && !name.starts_with('.'))
        };
        let found: Vec<String> = self.texts.keys().filter(inside).cloned().collect();
        (!found.is_empty()).then_some(found)
    }
}
